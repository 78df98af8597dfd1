"""Derivatives of a flow in the numbers of its problem and in its initial law."""
