import torch

import wgf


class Fermi(wgf.Local):
    name, barrier = "fermi", True

    def density(self, x, dx, log_p):
        rho = torch.exp(log_p) / dx
        return torch.log(rho) + (1 / rho - 1) * torch.log1p(-rho)


class Exclusion(wgf.PDE):
    def internal(self):
        return Fermi()
