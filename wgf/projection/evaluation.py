"""What a projected flow knows at one map: velocity, energies, coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from wgf.problem.energy import MapAtNodes
from wgf.projection.knots import KnotPoint


@dataclass(frozen=True)
class Point:
    """A map in the coordinates of a chart.

    Attributes:
        c: coordinates [M].
        at: the map at the nodes.
        gradient: gradient of F [M].
    """

    c: Tensor
    at: MapAtNodes
    gradient: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Velocity and energies at one theta.

    Attributes:
        velocity: theta' [p].
        terms: value of every energy term [k] (energy).
        min_slope: smallest f', scalar; <= 0 means that the map is folded.
        dissipation: -grad F . theta', the rate at which the energy falls, scalar (energy/time).
        scale: standard deviation of the solution, the unit of relative errors (length).
        length: computes the W2 length sqrt(d^T G d) of a small displacement d [p] of the parameters (length).
        report: computes the numbers of the linear solve on demand; see `Velocity`.
        point: the map in the coordinates of its chart; None without a chart.
        knots: the flow in the coordinates of moving knots; None without them.
    """

    velocity: Tensor
    terms: Tensor
    min_slope: Tensor
    dissipation: Tensor
    scale: Tensor
    length: Callable[[Tensor], Tensor]
    report: Callable[[], dict[str, float | None]]
    point: Point | None = None
    knots: KnotPoint | None = None
