"""Closed forms for ReLU networks whose knots move, O(m) after sorting."""
