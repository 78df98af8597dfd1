"""The projected velocity: tangent spaces, charts, metrics and their solvers."""
