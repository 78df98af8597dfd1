"""The terms of the free energy F(rho) = int V rho + 1/2 int int W(x-y) rho rho + int U(rho) dx."""
