"""Flows whose laws are known, solved once."""

import math
from functools import cache
from typing import Any

from scipy import stats

import wgf

WELL = "x**4/4 - x**2/2"


@cache
def relaxing(mean: float = 1.0, std: float = 0.5) -> wgf.Flow:
    """N(mean, std^2) on its way to N(0, 1): the map is affine, the network has no error in space."""
    law = wgf.Gaussian(mean, std)
    tight = wgf.Rodas4(rtol=1e-10, atol=1e-12)
    bowl = wgf.potentials.Quadratic()
    return wgf.solve(wgf.FokkerPlanck(), law=law, potential=bowl, t_end=1.0, saves=4, integrator=tight)


def relaxed(t: float, mean: float = 1.0, std: float = 0.5):
    """The law it has at t."""
    return stats.norm(mean * math.exp(-t), math.sqrt(1 + (std**2 - 1) * math.exp(-2 * t)))


@cache
def well() -> wgf.Flow:
    fine = wgf.Spline(96, 5, 5.0, base=wgf.Gaussian())
    return in_the_well(2, network=fine, integrator=wgf.Rodas4(rtol=1e-9, atol=1e-12))


def in_the_well(saves: Any, t_end: float = 0.2, **options: Any) -> wgf.Flow:
    """N(0, 1) in the double well."""
    return wgf.solve(wgf.FokkerPlanck(), potential=WELL, t_end=t_end, saves=saves, **options)


@cache
def saved_often() -> wgf.Flow:
    return in_the_well(20)


def still(**options: Any) -> wgf.Flow:
    """A flow of no energy, which stands still."""
    return wgf.solve(wgf.LinearTransport(), t_end=1.0, saves=1, **options)
