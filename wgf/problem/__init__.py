"""What is solved: laws, energies, equations."""
