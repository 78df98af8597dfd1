"""Reference solutions without diffusion, by particles: x' = -V'(x) - (W' * rho)(x), each carrying its mass along.

The law is written as z(s) with equidistant s, and each particle feels every other one: those an odd number of places
away, with twice their mass. It never meets itself, and what its neighbours do is odd, so that the rule is spectrally
accurate even for the principal value of a kernel 1/r, and the better for a kernel with a kink the smoother the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy  # its modules are loaded when they are first used
import torch

from wgf.problem.base import Base
from wgf.problem.equations import Problem
from wgf.reference_solutions.base import Computed, Unresolved, width, yardstick
from wgf.reference_solutions.trajectory import Trajectory
from wgf.reference_solutions.unfelt import Points, with_unfelt

LEVELS = (192, 384, 768, 1536)  # particles, about; more for laws of many panels, but twice as many on every level
MOST = 4000  # particles that feel one another
GOAL = 1e-8  # W1 error that is worth no further refinement, relative to the width of the law
FLAT = 5  # order of contact of z(s) with the ends of the law's panels
SMOOTH = 1e-12  # relative error in the law's second moment with which equidistant points integrate it
SAFE, CHANCE = (2.0, 4.0), 5.0  # W1 and W2 errors relative to the last changes, and by how much these may be small
MEET = 1e-9  # W1 distance to the same particles in order that the tolerances explain, relative to the law's width
EVALUATIONS = 3000  # of the velocity on one level
PAIRS = 3e9  # of particles that feel one another in all evaluations of a level: half a minute
TOLERANCE, FLOOR = 1e-12, 1e-11  # of the integration in time, and the W1 error that may come of it, relative


@dataclass(frozen=True)
class Track:
    """The points z(s), s in [0, K], of a law with K panels: s is the number of the panel and a share of it.

    Attributes:
        edges: of the panels [K + 1] (length).
        count: points per panel.
        flat: 1: z is linear in every panel; m: z' vanishes like (s - k)^(m-1) at the panel's ends, where the law may be
            as rough as it wants without harm to the rule.
        parts: numbers of the edges between which the map is continuous.
    """

    edges: np.ndarray
    count: int
    flat: int
    parts: tuple[int, ...]

    @property
    def s(self) -> np.ndarray:
        """The points' [n]."""
        return (np.arange(self.count * (len(self.edges) - 1)) + 0.5) / self.count

    def z(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z and dz/ds at s [n] (length)."""
        k = np.clip(s.astype(int), 0, len(self.edges) - 2)
        u, width, m = s - k, np.diff(self.edges)[k], self.flat
        slope = (u * (1 - u)) ** (m - 1) * math.exp(-scipy.special.betaln(m, m))
        return self.edges[k] + width * scipy.special.betainc(m, m, u), width * slope

    def parameter(self, z: np.ndarray) -> np.ndarray:
        """s [n] at z [n] within the edges."""
        k = np.clip(np.searchsorted(self.edges, z, side="right") - 1, 0, len(self.edges) - 2)
        return k + scipy.special.betaincinv(
            self.flat, self.flat, np.clip((z - self.edges[k]) / np.diff(self.edges)[k], 0.0, 1.0)
        )


@dataclass(frozen=True)
class Particles(Computed):
    """The map of a problem without diffusion by its particles.

    Attributes:
        track: the points of the law.
        x: their positions [k, n] (length).
    """

    name = "particles"

    track: Track
    x: np.ndarray

    def map(self, k: int, z: np.ndarray) -> np.ndarray:
        """T at time number k and z [n] (length); linear beyond the panels."""
        inside = np.clip(z, self.track.edges[0], self.track.edges[-1])
        x = _curve(self.track, self.x[k])(self.track.parameter(inside))
        points = self.track.z(self.track.s)[0][[0, 1, -2, -1]]
        (a, b, c, d), (one, two, three, four) = points, self.x[k][[0, 1, -2, -1]]
        slopes = np.where(z < inside, (two - one) / (b - a), (four - three) / (d - c))
        return x + slopes * (z - inside)


def solve(problem: Problem, times: Sequence[float]) -> Particles:
    """The map at increasing times > 0.

    Raises:
        ArithmeticError: particles meet, the velocity is not finite, or nothing converges.
        NotImplementedError: the problem has a term of its own.
    """
    if problem.internal is not None:
        raise Unresolved("particles know no diffusion")
    feel = problem.interaction.split()[1] is not None
    if feel and (count := len(_track(problem, LEVELS[1]).s)) > MOST:
        raise Unresolved(f"the panels of the law ask for {count} particles")
    at = np.array(times, dtype=float)
    z, w = yardstick(problem.base)
    last: np.ndarray | None = None
    best: Particles | None = None
    changes: list[tuple[np.ndarray, np.ndarray]] = []
    for level, count in enumerate(LEVELS):
        track = _track(problem, count)
        if feel and len(track.s) > MOST:
            break
        try:
            x = _positions(problem, track, at)
        except Unresolved:
            if best is not None or level > 1:
                break
            last = None  # too coarse: try a finer one
            continue
        found = Particles(at, np.full(len(at), np.inf), np.full(len(at), np.inf), track, x)
        maps = np.stack([found.map(k, z) for k in range(len(at))])
        if last is not None:
            change, unit = maps - last, width(problem.law, maps, w)
            changes.append((SAFE[0] * (np.abs(change) @ w), SAFE[1] * np.sqrt(change**2 @ w)))
            # where the map bends or jumps, a change depends on where the points lie, and by chance it is small
            pairs = zip(changes[-2:][0], changes[-1], strict=True)
            w1, w2 = (np.maximum(new, np.minimum(old / 2, CHANCE * new)) + FLOOR * unit for old, new in pairs)
            best = Particles(at, w1, w2, track, x)
            if best.errors.max() < GOAL * unit:
                break
        last = maps
    if best is None or not np.isfinite(best.errors).all():
        raise Unresolved("the particles do not converge")
    return _felt(problem, best) if feel else best


def _felt(problem: Problem, found: Particles) -> Particles:
    """A solution whose errors count what its particles do not feel of the interaction."""
    track, law = found.track, problem.base
    z, slope = track.z(track.s)
    masses = law.density(torch.from_numpy(z)).numpy() * slope / track.count
    x = np.vstack([problem.start(torch.from_numpy(z)).numpy(), found.x])
    means = x @ masses / masses.sum()
    widths = np.sqrt((x - means[:, None]) ** 2 @ masses)
    ends = [[_points(track, law, row)] for row in x[[0, -1]]]
    return with_unfelt(found, problem.interaction, ends, widths)


def _points(track: Track, law: Base, x: np.ndarray) -> Points:
    """The particles with even numbers as places, those with odd numbers as the points that they feel. x: [n]."""
    curve = _curve(track, x)

    def inside(s: np.ndarray) -> np.ndarray:
        return np.minimum((2 * s + 0.5) / track.count, len(track.edges) - 1)

    def density(s: np.ndarray) -> np.ndarray:
        z, slope = track.z(inside(s))
        return 2 / track.count * law.density(torch.from_numpy(z)).numpy() * slope

    return Points(lambda s: curve(inside(s)), density, len(x) // 2)


def _curve(track: Track, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """x at any s [m], through the particles at x [n]: smooth between the kinks from which particles part (length)."""
    at, ends = track.s, list(pairwise(track.parts))
    parts = [(at > low) & (at < high) for low, high in ends]
    curves = [scipy.interpolate.make_interp_spline(at[own], x[own], k=min(5, own.sum() - 1)) for own in parts]

    def curve(s: np.ndarray) -> np.ndarray:
        found = np.empty_like(s)
        for (low, high), each in zip(ends, curves, strict=True):
            here = (s >= low) & (s <= high)
            found[here] = each(s[here])
        return found

    return curve


def _track(problem: Problem, count: int) -> Track:
    """Linear where equidistant points integrate the law as it is and V is smooth, else with panels between the places
    where the law is not smooth and those from which a kink of V drives particles apart."""
    law, kinks = problem.base, _kinks(problem)
    panels = np.union1d(np.array(law.panels()), kinks)
    track = Track(panels[[0, -1]], count, 1, (0, 1))
    z, slope = track.z(track.s[::2])
    variance = law.density(torch.from_numpy(z)).numpy() * slope @ (z - law.mean) ** 2 * 2 / count
    if not len(kinks) and abs(variance / law.std**2 - 1) < SMOOTH:
        return track
    first, *_ = LEVELS  # a level with the particles of the one before would seem to have no error
    parts = 0, *np.searchsorted(panels, kinks).tolist(), len(panels) - 1
    return Track(panels, 2 * math.ceil(first / (len(panels) - 1) / 2) * (count // first), FLAT, parts)


def _kinks(problem: Problem) -> np.ndarray:
    """The points of the base from which a kink of V drives particles apart, between its panels [n] (length)."""
    if (kinks := problem.potential.kinks) is None:
        return np.zeros(0)
    x, (first, *_, last) = kinks.x[kinks.slope < 0], problem.base.panels()
    z = problem.base.at_rank(problem.law.cdf(x), problem.law.survival(x)).numpy()
    return z[(z > first) & (z < last)]


def _positions(problem: Problem, track: Track, times: np.ndarray) -> np.ndarray:
    """Where the particles are at the times [k, n] (length), by an explicit Runge-Kutta method of order 8.

    Raises:
        Unresolved: the integration fails, or particles meet.
    """
    (z, slope), law = track.z(track.s), problem.base
    points = torch.from_numpy(z)
    kink, force = problem.interaction.split()
    drift = kink * (law.cdf(points) - law.survival(points)).numpy()  # the order of the particles never changes
    middle, unit = problem.law.mean, problem.law.std
    begin = (problem.start(points).numpy() - middle) / unit  # tolerances are relative to the law's own width and place
    masses = law.density(points).numpy() * slope / track.count

    def velocity(t: float, y: np.ndarray) -> np.ndarray:
        x = middle + unit * y
        v = -problem.potential.at(t).derivative(torch.from_numpy(x)).numpy() - drift
        if force is not None:
            even, odd = torch.from_numpy(x[::2].copy()), torch.from_numpy(x[1::2].copy())
            forces = force(even[:, None] - odd).numpy()
            v[::2] -= 2 * forces @ masses[1::2]
            v[1::2] += 2 * masses[::2] @ forces
        return v / unit

    most = EVALUATIONS if force is None else int(min(EVALUATIONS, PAIRS / len(z) ** 2))
    trajectory = Trajectory(velocity, begin, TOLERANCE, problem.pace(TOLERANCE), times[-1], most)
    y = np.stack([trajectory(t) for t in times])
    if np.isnan(y).any():
        raise Unresolved("the integration stopped")
    if not ((np.maximum.accumulate(y, axis=1) - y) @ masses < MEET).all():
        raise Unresolved("particles meet")
    return middle + unit * y
