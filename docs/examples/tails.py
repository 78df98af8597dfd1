import torch

import wgf


class Tails(wgf.TransportMap):
    """f = a + b sinh(c asinh(y) + d), y = (z - mean)/std: place, width, tails and skewness, four parameters."""

    def __init__(self, *, base: wgf.Base):
        super().__init__(base)
        self.theta = torch.nn.Parameter(torch.tensor([base.mean, base.std, 1.0, 0.0], dtype=torch.float64))

    def f(self, theta, z):
        a, b, c, d = theta
        return a + b * torch.sinh(c * torch.asinh((z - self.base.mean) / self.base.std) + d)
