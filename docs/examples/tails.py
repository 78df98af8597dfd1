import torch

import wgf


class Tails(wgf.TransportMap):
    """f = a + b sinh(c asinh(y) + d), y = (z - mean)/std: place, width, tails and skewness, four parameters."""

    def __init__(self, *, law: wgf.Law):
        super().__init__(law)
        self.theta = torch.nn.Parameter(torch.tensor([law.mean, law.std, 1.0, 0.0], dtype=torch.float64))

    def f(self, theta, z):
        a, b, c, d = theta
        return a + b * torch.sinh(c * torch.asinh((z - self.law.mean) / self.law.std) + d)
