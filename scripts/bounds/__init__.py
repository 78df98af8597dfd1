"""Bounds of the W2 error beside errors that are known better, and their costs: parts of `scripts/certificates.py`."""
