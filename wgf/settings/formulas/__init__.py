"""Formulas of a config: how they are read, enclosed and differentiated."""
