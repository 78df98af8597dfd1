"""Ensembles: many flows that differ in parameters, computed together."""
