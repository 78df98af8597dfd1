"""The smallest slope of a map. Between two breakpoints of a spline of degree k it is that of a polynomial of degree
k - 1, whose lowest place is an end or a root of its derivative."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from wgf.networks.base import TransportMap

EPS = torch.finfo(torch.float64).eps
ZOOM = 65  # points beside the node where the slope of a map without breakpoints seems to be smallest


@torch.no_grad()
def least_slope(map: TransportMap, theta: Tensor, z: Tensor) -> float:
    """The smallest slope of the map with parameters theta [p]. z: nodes [n] that resolve a map that is no spline."""
    theta, space = theta.detach().double(), map.space()
    places = _zoomed(map, theta, z) if space is None else _extremal(map, theta, space.points.double(), space.degree)
    return float(map.min_slope(theta, map.evaluate(theta, places)[1]))


def _extremal(map: TransportMap, theta: Tensor, points: Tensor, degree: int) -> Tensor:
    """Breakpoints, middles of cells, and where the second derivative of a spline is 0 (length)."""
    low, width = points[:-1, None], points.diff()[:, None]
    places = [points, (low + 0.5 * width)[:, 0]]
    if degree > 2:
        s = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(degree).to(points) + 0.5) / degree)
        slopes = map.evaluate(theta, (low + width * s).flatten())[1].view(-1, degree)
        powers = torch.linalg.solve(torch.linalg.vander(s), slopes.T).T  # of the place in the cell, 0 to 1
        places.append((low + width * _roots(powers[:, 1:] * torch.arange(1, degree).to(points))).flatten())
    return torch.cat(places)


def _roots(powers: Tensor) -> Tensor:
    """Real parts of the roots of polynomials [c, q], clamped to (0, 1): eigenvalues of companion matrices [c, q - 1].

    Args:
        powers: coefficients of 1, s, ..., s^q [c, q + 1].
    """
    largest = powers.abs().amax(1, keepdim=True) + torch.finfo(powers.dtype).tiny
    last = powers[:, -1:]
    last = torch.where(last.abs() < EPS * largest, EPS * largest, last)
    size = powers.shape[1] - 1
    companion = pad(torch.eye(size - 1).to(powers), (0, 1, 1, 0)).repeat(len(powers), 1, 1)
    companion[:, :, -1] = -powers[:, :-1] / last
    return torch.linalg.eigvals(companion.cpu()).real.clamp(0.0, 1.0).to(powers)  # tiny ones: slow on a GPU


def _zoomed(map: TransportMap, theta: Tensor, z: Tensor) -> Tensor:
    """Where the slopes of a smooth map seem to be lowest, from its nodes [n] (length)."""
    lowest = _lowest(z, map.evaluate(theta, z)[1])
    k = map.evaluate(theta, lowest)[1].argmin()
    zoom = torch.lerp(z[k], z[k + 2], torch.linspace(0, 1, ZOOM, dtype=z.dtype, device=z.device))
    return torch.cat([lowest, _lowest(zoom, map.evaluate(theta, zoom)[1])])


def _lowest(z: Tensor, slope: Tensor) -> Tensor:
    """Where the parabolas through the slopes [n] at neighbouring nodes z [n] are lowest [n - 2] (length)."""
    rise = slope.diff() / z.diff()
    left, middle, right = z[:-2], z[1:-1], z[2:]
    bend = rise.diff() / (right - left)
    lowest = 0.5 * (left + middle - rise[:-1] / bend)
    return torch.where((bend > 0) & lowest.isfinite(), lowest.clamp(left, right), middle)
