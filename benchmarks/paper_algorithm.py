"""The paper's algorithm as its authors run it: 10^6 random particles, float32, explicit Euler.

    f(z) = (1/m) [ sum_i w_i (z - b_i)_+ + sum_i wt_i (b_i - z)_+ ],   theta = (w, wt),   theta' = -G^+ grad F

F is a mean over the same particles at every step; automatic differentiation gives its gradient. G = ∫ d_i f d_j f p is
the paper's closed form; LAPACK's gelsd computes the minimal-norm solution (torch's default gelsy differs from call to
call).

To be fair to it, G is assembled once and the particles are sorted once. f is then affine on runs of particles, so that
no step needs the 10^6 x 2m array of neurons: a step costs some twenty passes over the particles at every width. For
Keller-Segel the particles interact in 5 10^5 random pairs, because all pairs would be 10^12.
"""

import numpy as np
import torch
from competitor import Competitor
from problems import PROBLEMS, Map, Problem
from scipy.special import ndtr
from torch import Tensor

PARTICLES = 1_000_000
BOUND = 4.0
SEED = 0


def metric(knots: np.ndarray) -> np.ndarray:
    """G [2m, 2m] under N(0, 1), from the moments ∫ p, ∫ z p, ∫ z^2 p of the cells between the knots [m].

    On every cell a neuron is a straight line.
    """
    m, edges = len(knots), np.concatenate([[-np.inf], knots, [np.inf]])
    p = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
    zp = np.where(np.isfinite(edges), edges, 0) * p
    m0, m1 = np.diff(ndtr(edges)), -np.diff(p)
    m2 = m0 - np.diff(zp)
    right = np.arange(m + 1) > np.arange(m)[:, None]  # neuron, cell
    slope = np.concatenate([right, -1.0 * ~right]) / m
    value = -slope * np.concatenate([knots, knots])[:, None]
    cross = (slope * m1) @ value.T
    return (slope * m2) @ slope.T + cross + cross.T + (value * m0) @ value.T


class Particles:
    """The energy F of a problem as a mean over particles.

    Args:
        problem: the problem.
        knots: b [m] (length).
        count: number of particles.
    """

    def __init__(self, problem: Problem, knots: Tensor, count: int) -> None:
        self.problem, self.knots = problem, knots
        generator = torch.Generator().manual_seed(SEED)
        self.z = torch.randn(count, generator=generator).sort().values
        ends = torch.searchsorted(self.z, knots).tolist()
        self.runs = [self.z[a:b] for a, b in zip([0, *ends], [*ends, count], strict=True)]
        self.one, self.two = torch.randperm(count, generator=generator)[: count // 2 * 2].chunk(2)
        density = torch.exp(-self.z.square() / 2) / np.sqrt(2 * np.pi)
        self.mobility = density ** (problem.exponent - 1)

    def energy(self, weights: Tensor) -> Tensor:
        """F at (w, wt) [2m], a scalar."""
        problem, m = self.problem, len(self.knots)
        right, left = weights.chunk(2)
        zero = weights.new_zeros(1)
        # active on a cell are the right-facing neurons to its left and the left-facing neurons to its right
        sums = [torch.cat([zero, values.cumsum(0)]) for values in (right, right * self.knots)]
        rest = [torch.cat([values.flip(0).cumsum(0).flip(0), zero]) for values in (left, left * self.knots)]
        slope, intercept = (sums[0] - rest[0]) / m, (rest[1] - sums[1]) / m
        dx = torch.cat([a.expand(len(run)) for a, run in zip(slope.unbind(), self.runs, strict=True)])
        g, d = problem.exponent, problem.diffusion
        # power law: ∫ p^g f'^(1-g) dz is the mean of p^(g-1) f'^(1-g)
        total = -d * dx.log().mean() if g == 1 else d / (g - 1) * (self.mobility * dx ** (1 - g)).mean()
        if problem.potential is None and not problem.chi:
            return total
        x = torch.cat([a * z + b for a, b, z in zip(slope.unbind(), intercept.unbind(), self.runs, strict=True)])
        if problem.potential is not None:
            total = total + problem.potential(x).mean()
        if problem.chi:
            distance = (x.index_select(0, self.one) - x.index_select(0, self.two)).abs()
            total = total + problem.chi * torch.where(distance == 0, 1.0, distance).log().mean()
        return total


def run(problem: Problem, width: int, count: int = PARTICLES) -> Map:
    """Compute the map at t_end.

    Raises:
        ArithmeticError: the weights are no longer finite.
    """
    knots = torch.linspace(-BOUND, BOUND, width)
    particles = Particles(problem, knots, count)
    gram = torch.from_numpy(metric(knots.double().numpy())).float()
    weights = torch.cat([torch.ones(width), -torch.ones(width)])
    for _ in range(round(problem.t_end / problem.euler_dt)):
        with torch.enable_grad():
            weights.requires_grad_()
            (gradient,) = torch.autograd.grad(particles.energy(weights), weights)
        weights = weights.detach()
        velocity = torch.linalg.lstsq(gram, -gradient[:, None], driver="gelsd").solution[:, 0]
        weights = weights + problem.euler_dt * velocity
        if not bool(weights.isfinite().all()):
            raise ArithmeticError("the weights are no longer finite")
    w, b = weights.double().numpy(), knots.double().numpy()

    def map(z: np.ndarray) -> np.ndarray:
        reach = z[:, None] - b
        return (np.maximum(reach, 0) @ w[:width] + np.maximum(-reach, 0) @ w[width:]) / width

    return map


PAPER_ALGORITHM = Competitor("the paper's algorithm, 10^6 particles", run, dict.fromkeys(PROBLEMS, (4, 8, 16, 32)))
