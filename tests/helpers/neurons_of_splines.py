"""Splines written as the ReLU^k networks of which they are coordinates, and back."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from wgf.networks.spline import Spline


class Neurons(NamedTuple):
    """Neurons of f(z) = sum_j weights_j (facing_j (z - biases_j))_+^k between outer breakpoints; all [m + k - 1]."""

    weights: Tensor
    biases: Tensor
    facing: Tensor


def neurons_of(map: Spline, theta: Tensor) -> Neurons:
    """The map as a two-layer network. One neuron per inner breakpoint has the jump of f^(k)/k! there as its weight;
    k + 1 neurons outside the breakpoints represent the polynomial of the leftmost cell.

    Args:
        theta: B-spline coefficients [m + k - 1].
    """
    k, biases, facing = map.degree, *_biases_and_facing(map)
    derivatives, coefficients = [theta[0]], theta
    for r in range(1, k + 1):  # coefficients of f^(r); the first is its value at the left end
        coefficients = coefficients.diff() / _steps(map, r)
        derivatives.append(coefficients[0])
    jumps = coefficients.diff() / math.factorial(k)
    taylor = torch.stack(derivatives) / _factorials(map, theta)
    return Neurons(torch.cat([torch.linalg.solve(_outer_taylor(map), taylor), jumps]), biases, facing)


def from_neurons(map: Spline, weights: Tensor) -> Tensor:
    """The B-spline coefficients [m + k - 1] of a network with these weights and the biases of `neurons_of`."""
    k = map.degree
    derivatives = (_outer_taylor(map) @ weights[: k + 1]) * _factorials(map, weights)
    coefficients = derivatives[k] + math.factorial(k) * torch.nn.functional.pad(weights[k + 1 :].cumsum(0), (1, 0))
    for r in range(k, 0, -1):
        rises = (coefficients * _steps(map, r)).cumsum(0)
        coefficients = derivatives[r - 1] + torch.nn.functional.pad(rises, (1, 0))
    return coefficients


def _steps(map: Spline, r: int) -> Tensor:
    """Denominators of the differences that give f^(r) from f^(r-1): (t_{i+k+1} - t_{i+r}) / (k - r + 1)."""
    k, points = map.degree, map.points
    knots = torch.cat([points[:1].expand(k + 1), points[1:-1], points[-1:].expand(k + 1)])
    count = len(knots) - k - 1 - r  # coefficients of f^(r)
    i = torch.arange(count, device=points.device)
    return (knots[i + k + 1] - knots[i + r]) / (k - r + 1)


def _factorials(map: Spline, like: Tensor) -> Tensor:
    return torch.tensor([math.factorial(r) for r in range(map.degree + 1)]).to(like)


def _biases_and_facing(map: Spline) -> tuple[Tensor, Tensor]:
    """Biases and facing of all neurons. The k + 1 outer neurons come first, alternately right and left."""
    k, points = map.degree, map.points
    half = 0.5 * (points[-1] - points[0])
    outer = [points[-1] + j // 2 * half if j % 2 == 0 else points[0] - j // 2 * half for j in range(k + 1)]
    facing = [-1.0 if j % 2 == 0 else 1.0 for j in range(k + 1)]
    biases = torch.cat([torch.stack(outer), points[1:-1]])
    return biases, torch.cat([torch.tensor(facing).to(points), torch.ones_like(points[1:-1])])


def _outer_taylor(map: Spline) -> Tensor:
    """Taylor coefficients [k + 1, k + 1] at the left end a: row r holds y^r of (s (a + y - b))^k, s = facing."""
    k, (biases, facing) = map.degree, _biases_and_facing(map)
    r = torch.arange(k + 1, device=biases.device)
    binomial = torch.tensor([math.comb(k, j) for j in range(k + 1)]).to(biases)
    distance = map.points[0] - biases[: k + 1]
    return binomial[:, None] * facing[: k + 1] ** k * distance ** (k - r)[:, None]
