"""Solvers of G theta' = -grad F, whatever the rank of G: each says what it dropped or damped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.projection.linalg import dense
from wgf.projection.linalg.minres import minres
from wgf.projection.tangent import StepSpace, Tangent
from wgf.settings.ranges import Count, Fraction, NonNegative, checked


@dataclass(frozen=True)
class Velocity:
    """A velocity and how it was found.

    Attributes:
        value: theta' [p]; NaN throughout when the solver failed.
        report: computes on demand rank, condition (of what was solved), residual (|G theta' + grad F| / |grad F|, of
            the full metric: it shows what truncation or damping left out), truncated (directions dropped), damped
            (added to the diagonal) and iterations. Numbers that do not apply are None.
    """

    value: Tensor
    report: Callable[[], dict[str, float | None]]


class Solver(ABC):
    """A way to solve G theta' = -grad F for a metric that may be singular."""

    @abstractmethod
    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        """theta' for grad F [p]."""

    def uses_chart(self, map: TransportMap) -> bool:
        """Whether this solver replaces the neurons of this map by a banded basis of the same functions."""
        return False

    def forms_metric(self, linear: bool) -> bool:
        """Whether G is formed as a dense matrix, for a map that is linear in its parameters or not."""
        return True

    def check(self, map: TransportMap) -> None:
        """Check that this solver can serve a map; most serve all.

        Raises:
            ConfigError: it cannot.
        """
        return


def _report(tangent: Tangent, gradient: Tensor, value: Tensor, **known: Any) -> dict[str, float | None]:
    norm = gradient.norm()
    residual = (tangent.apply(value) + gradient).norm() / torch.where(norm > 0, norm, 1.0)
    figures: dict[str, float | None] = {
        "rank": None,
        "condition": None,
        "residual": float(residual),
        "truncated": 0,
        "damped": 0.0,
        "iterations": None,
    }
    return figures | {key: (v.item() if isinstance(v, Tensor) else v) for key, v in known.items()}


def _dense_report(tangent: Tangent, gradient: Tensor, found: dense.Dense) -> dict[str, float | None]:
    """Rank and condition by the eigenvalues, which only a logged step pays for."""
    values = torch.linalg.eigvalsh(tangent.metric)
    rank = len(values) - int(found.truncated)
    damped = float(found.damped)
    smallest = max(float(values[-rank]) if rank else 0.0, 0.0) + damped
    condition = (float(values[-1]) + damped) / smallest if smallest > 0 else None
    return _report(
        tangent, gradient, found.value, rank=rank, condition=condition, truncated=found.truncated, damped=damped
    )


class Truncated(Solver):
    """Eigenvalues of G below rcond times the largest are dropped.

    Args:
        rcond: relative cut; part of the method, not a tolerance: too small and the map folds, too large and it is stiff
            to move.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.truncated_eigen(tangent.metric, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class QR(Solver):
    """QR of sqrt(w) J and an SVD of R: the metric is never squared.

    Args:
        rcond: squared singular values below rcond times the largest are dropped.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.truncated_qr(tangent.features, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class Cholesky(Solver):
    """Cholesky of G + lambda I, lambda = damping times the mean diagonal (more if that is not positive definite).

    Args:
        damping: relative; 0 asks for a metric of full rank.
    """

    @checked
    def __init__(self, damping: NonNegative = 1e-8) -> None:
        self.damping = damping

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.damped_cholesky(tangent.metric, -gradient, self.damping)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class MINRES(Solver):
    """Krylov iteration with products G v only, no matrix: for networks of many parameters.

    Args:
        rtol: relative residual to stop at.
        max_iter: most products.
    """

    @checked
    def __init__(self, rtol: Fraction = 1e-10, max_iter: Count = 1000) -> None:
        self.rtol, self.max_iter = rtol, max_iter

    def forms_metric(self, linear: bool) -> bool:
        return False

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = minres(tangent.apply, -gradient, self.rtol, self.max_iter)
        return Velocity(found.value, lambda: _report(tangent, gradient, found.value, iterations=found.iterations))


class Banded(Solver):
    """The closed forms of the paper, O(m): hat functions for the weights, cell averages for the biases.

    Args:
        rcond: for biases, the mass of a cell relative to the largest below which its two knots move as one.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def uses_chart(self, map: TransportMap) -> bool:
        return map.space() is not None

    def forms_metric(self, linear: bool) -> bool:
        return False

    def check(self, map: TransportMap) -> None:
        if map.space() is None and map.steps(map.theta.detach()) is None:
            raise ConfigError(
                "solver=banded has closed forms for network=spline, and for network=two_sided_relu with "
                "network.train=weights or biases, only: say solver=auto"
            )

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        neurons = tangent.map.steps(tangent.theta)
        if neurons is None:
            raise TypeError(f"{type(tangent.map).__name__} has no closed form: Solver.check comes first")
        space = StepSpace(tangent.map.base, *neurons, self.rcond)
        value = space.solve(gradient)
        return Velocity(value, lambda: _report(tangent, gradient, value, truncated=space.truncated))


class Auto(Banded):
    """The closed form where there is one, else the eigenvalues of G with a smooth cut.

    The smooth cut, e/(e^2 + (rcond e_max)^2) in place of 1/e, keeps the velocity continuous when knots meet and a
    direction disappears, where a sharp one would jump between two answers from step to step.

    Args:
        rcond: where the cut lies, relative to the largest eigenvalue.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        super().__init__(rcond)

    def forms_metric(self, linear: bool) -> bool:
        return not linear

    def check(self, map: TransportMap) -> None:
        """Every map is allowed."""

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        if tangent.map.steps(tangent.theta) is not None:
            return super().solve(tangent, gradient)
        found = dense.filtered_eigen(tangent.metric, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))
