"""Callbacks of a run: each writes one kind of output, and none of them can stop the computation."""
