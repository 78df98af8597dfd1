import wgf
from wgf.settings.ranges import NonNegative, Positive, checked


class Crowd(wgf.PDE):
    """rho_t = (rho V')_x + k (rho (x - mean))_x + D rho_xx: Fokker-Planck with a pull towards the mean."""

    @checked
    def __init__(self, pull: NonNegative = 1.0, diffusion: Positive = 1.0):
        self.pull, self.diffusion = pull, diffusion

    def internal(self):
        return wgf.Entropy(self.diffusion)

    def kernel(self):
        return wgf.interactions.Quadratic(self.pull)
