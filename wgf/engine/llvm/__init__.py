"""What numba emits for arrays, named tuples and vectors: fewer instructions of LLVM than its own, or others."""
