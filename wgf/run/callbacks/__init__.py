"""Callbacks of a run: each writes one kind of output. A failing callback does not stop the run."""
