"""Time integrators: one pure step each."""
