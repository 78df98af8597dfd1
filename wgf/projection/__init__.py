"""Projection of the flow onto a network: tangent spaces, charts, metrics and their solvers."""
