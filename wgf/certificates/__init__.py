"""Computable upper bounds of the W2 error of a run; docs/certificates.md states and proves them."""
