"""What watches a run: each sink writes one kind of output, and none of them can stop the computation."""
