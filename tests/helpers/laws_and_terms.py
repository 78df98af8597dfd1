"""Laws with their scipy counterparts, energy terms and maps away from the start: what several test files share."""

import numpy as np
import torch
from hypothesis import strategies as st
from scipy import optimize, stats
from torch import Tensor

from wgf.networks.mlp import MLP
from wgf.networks.one_sided import OneSidedReLU
from wgf.networks.relu import TwoSidedReLU
from wgf.problem import interaction, kernels
from wgf.problem import potential as potentials
from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.problem.interaction import Interaction
from wgf.problem.internal import Entropy, PowerLaw
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Mixture, Semicircle, Uniform
from wgf.problem.potential import Potential


class MixtureOracle:
    """A Gaussian mixture from scipy's normal law."""

    def __init__(self, means, stds, weights):
        self.parts = [(w / sum(weights), stats.norm(m, s)) for m, s, w in zip(means, stds, weights, strict=True)]

    def _sum(self, name, x):
        return sum(w * getattr(part, name)(x) for w, part in self.parts)

    def pdf(self, x):
        return self._sum("pdf", x)

    def cdf(self, x):
        return self._sum("cdf", x)

    def sf(self, x):
        return self._sum("sf", x)

    def ppf(self, u):
        return np.array([optimize.brentq(lambda x, v=v: self.cdf(x) / v - 1, -200, 200, xtol=1e-13) for v in u])

    def isf(self, u):
        return np.array([optimize.brentq(lambda x, v=v: self.sf(x) / v - 1, -200, 200, xtol=1e-13) for v in u])

    def mean(self):
        return sum(w * part.mean() for w, part in self.parts)

    def std(self):
        return np.sqrt(sum(w * (part.var() + part.mean() ** 2) for w, part in self.parts) - self.mean() ** 2)


def _barenblatt_oracle(g: float, t0: float):
    """rho = t^-k (C - b x^2 t^-2k)_+^(1/(g-1)), k = 1/(g+1): a scaled beta law, C from unit mass by bisection."""
    k, b = 1 / (g + 1), (g - 1) / (2 * g * (g + 1))
    x, w = np.polynomial.legendre.leggauss(40)  # exact where 1/(g - 1) is a whole number

    def mass(c):
        return np.sqrt(c / b) * np.dot(w, (c * (1 - x**2)) ** (1 / (g - 1))) - 1

    radius = np.sqrt(optimize.brentq(mass, 1e-6, 10, xtol=1e-15) / b) * t0**k
    return stats.beta(g / (g - 1), g / (g - 1), loc=-radius, scale=2 * radius)


LAWS: dict[str, Base] = {
    "gaussian": Gaussian(0.3, 1.2),
    "uniform": Uniform(-2.0, 1.5),
    "laplace": Laplace(-0.4, 0.8),
    "semicircle": Semicircle(1.3),
    "barenblatt": Barenblatt(2.0, 1.0),
    "barenblatt_1.5": Barenblatt(1.5, 0.7),
    "mixture": Mixture((-1.0, 0.5, 2.0), (0.4, 1.1, 0.2), (1.0, 2.0, 3.0)),
}
ORACLES = {
    "gaussian": stats.norm(0.3, 1.2),
    "uniform": stats.uniform(-2.0, 3.5),
    "laplace": stats.laplace(-0.4, 0.8),
    "semicircle": stats.beta(1.5, 1.5, loc=-1.3, scale=2.6),
    "barenblatt": _barenblatt_oracle(2.0, 1.0),
    "barenblatt_1.5": _barenblatt_oracle(1.5, 0.7),
    "mixture": MixtureOracle((-1.0, 0.5, 2.0), (0.4, 1.1, 0.2), (1.0, 2.0, 3.0)),
}

_places, _sizes = st.floats(-3, 3), st.floats(0.1, 5)
_part = st.tuples(_places, st.floats(0.2, 3), st.floats(0.1, 1))


def laws() -> st.SearchStrategy[Base]:
    """Any law of the package, with any sensible parameters."""
    return st.one_of(
        st.builds(Gaussian, _places, _sizes),
        st.builds(lambda a, width: Uniform(a, a + width), _places, _sizes),
        st.builds(Laplace, _places, _sizes),
        st.builds(Semicircle, _sizes),
        st.builds(Barenblatt, st.floats(1.01, 30), _sizes),
        st.lists(_part, min_size=1, max_size=4).map(lambda parts: Mixture(*zip(*parts, strict=True))),
    )


TERMS: dict[str, Potential | Entropy | PowerLaw | Interaction] = {
    "quadratic": potentials.Quadratic(1.3, 0.4),
    "quartic": potentials.Quartic(0.2),
    "sextic": potentials.Sextic(0.5),
    "expression": potentials.Expressed("cos(2*x) + x**2/4"),
    "entropy": Entropy(0.7),
    "power_law_1.5": PowerLaw(1.5, 0.5),
    "power_law_2": PowerLaw(2.0, 0.8),
    "power_law_3": PowerLaw(3.0, 0.5),
    "newtonian": interaction.Newtonian(-0.8),
    "moments": interaction.Quadratic(0.7),
    "log": interaction.Log(1.2),
    "attraction_4_2": kernels.PowerLaw(4.0, 2.0, 0.5),
    "attraction_2_1": kernels.PowerLaw(2.0, 1.0, 0.5),
    "attraction_2.5_1.5": kernels.PowerLaw(2.5, 1.5, 0.5),
    "morse": kernels.Morse(1.0, 0.8, 2.0, 0.5),
}


def problem(law: Base, *terms) -> Problem:
    """The flow of a sum of at most one potential, one internal energy and one interaction."""
    parts = {"potential": potentials.Zero(), "internal": None, "interaction": interaction.Zero()}
    for term in terms:
        kind = "potential" if isinstance(term, Potential) else "internal"
        parts["interaction" if isinstance(term, Interaction) else kind] = term
    return Problem(law, t_end=1.0, **parts)


def tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_eigenvalues(values, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    q = torch.linalg.qr(random(len(values), len(values), seed=seed))[0]
    matrix = q @ torch.diag(tensor(values)) @ q.T
    return 0.5 * (matrix + matrix.T), q


def network(law: Base, train: str, width: int, bound: float = 2.0, seed: int = 0):
    """A two-sided ReLU network, or for train = "mlp" a smooth one."""
    if train == "mlp":
        return MLP(width, base=law, generator=torch.Generator().manual_seed(seed))
    if train == "one_sided":
        return OneSidedReLU(width, base=law)
    return TwoSidedReLU(width, bound, train, base=law)


def lengths(train: str, unit: float) -> Tensor:
    """A unit of length for those parameters of `network` of width 3 that are lengths, 1 for the others."""
    return tensor([1.0] * 6 + [unit] * 6 if train == "all" else [unit] * 5 + [1.0] * 6)


def away(map, size: float = 0.1, seed: int = 0) -> Tensor:
    """Parameters near the start: weights moved by size at most, knots by a share of their distance; f' stays > 0."""
    shake = torch.rand(map.theta.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    scale = torch.full_like(shake, size)
    if isinstance(map, TwoSidedReLU) and map.moving_knots:
        knots = map.knots(map.theta.detach())[: map.width]
        scale[-2 * map.width :] = 3 * size * float(knots[1] - knots[0])
    return map.theta.detach() + scale * shake


def explicit_relu(map: TwoSidedReLU, theta: Tensor, z: Tensor) -> Tensor:
    """c + (1/m) [ sum_i w_i (z - b_i)_+ + sum_i wt_i (bt_i - z)_+ ], c = mean of the first knots, written out."""
    m, m2 = map.width, 2 * map.width
    start = map.initial
    weights = theta[:m2] if map.train_part != "biases" else start[:m2]
    biases = theta[-m2:] if map.train_part != "weights" else start[m2:]
    right = weights[:m] * torch.relu(z[..., None] - biases[:m])
    left = weights[m:] * torch.relu(biases[m:] - z[..., None])
    return start[m2:].mean() + (right + left).sum(-1) / m


def differences(function, theta: Tensor, direction: Tensor, h: float = 1e-5) -> float:
    """The derivative of a scalar function along a direction, by central differences of order 4."""
    one, two = (float(function(theta + k * h * direction) - function(theta - k * h * direction)) for k in (1, 2))
    return (8 * one - two) / (12 * h)
