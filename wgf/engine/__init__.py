"""Compiled engine: the Rosenbrock steps of charts in machine code, for single flows and for ensembles."""
