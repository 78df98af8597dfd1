"""What a person looks at: every figure takes arrays and returns a matplotlib Figure that pyplot does not know of."""
