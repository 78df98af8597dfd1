"""Energies as straight-line programs, recorded from their definitions in torch."""
