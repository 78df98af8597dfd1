"""Sweeps: launch many runs, print their progress, collate, study and report them."""
