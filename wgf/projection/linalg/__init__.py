"""Linear systems: tridiagonal, dense and truncated, matrix-free."""
