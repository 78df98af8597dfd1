"""Linear systems: banded, dense (truncated or damped), matrix-free."""
