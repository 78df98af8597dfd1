"""Solvers of G theta' = -grad F for G of any rank. Each solver reports the directions it dropped or damped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.projection.linalg import dense
from wgf.projection.linalg.minres import minres
from wgf.projection.neurons.ramps import RampSpace
from wgf.projection.neurons.steps import StepSpace
from wgf.projection.tangent import Tangent
from wgf.settings.ranges import Count, Fraction, NonNegative, Positive, checked


@dataclass(frozen=True)
class Velocity:
    """A velocity with a report of the solve.

    Attributes:
        value: theta' [p]; all NaN if the solver failed.
        report: computes on demand rank, condition (of the solved matrix), residual (|G theta' + grad F| / |grad F|
            with the full metric G, so it includes the error of truncation and damping), truncated (number of dropped
            directions), damped (added to the diagonal) and iterations. Numbers that do not apply are None.
    """

    value: Tensor
    report: Callable[[], dict[str, float | None]]


class Regularisation(NamedTuple):
    """Factors of the regularisation of the metric of moving knots, see `wgf.projection.knots` (no unit)."""

    drag: float = 1e-2
    viscosity: float = 1e-2


class Solver(ABC):
    """Solver of G theta' = -grad F for a metric G that may be singular.

    Attributes:
        uses_chart: whether this solver works in the chart of a map that has one: a banded basis of the same functions.
    """

    uses_chart = False

    def velocity(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        """Velocity theta' for grad F [p]. What is cut or damped does not depend on the unit of length."""
        if tangent.units is None:
            return self.solve(tangent, gradient)
        found = self.solve(tangent, tangent.units * gradient)
        return Velocity(tangent.units * found.value, found.report)

    @abstractmethod
    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        """Velocity for a gradient [p], both in the natural units of the parameters."""

    def regularisation(self, map: TransportMap) -> Regularisation | None:
        """Regularisation of the metric if this solver works in the coordinates of moving knots; else None."""
        return None

    def forms_metric(self, banded: bool) -> bool:
        """Whether this solver forms G as a dense matrix. banded: see `wgf.networks.base.Size`."""
        return True

    def check(self, map: TransportMap) -> None:
        """Check that this solver supports a map; most support all.

        Raises:
            ConfigError: the solver does not support it.
        """
        return


def _report(tangent: Tangent, gradient: Tensor, value: Tensor, **known: Any) -> dict[str, float | None]:
    norm = gradient.norm()
    residual = (tangent.apply(value) + gradient).norm() / torch.where(norm > 0, norm, 1.0)
    report: dict[str, float | None] = {
        "rank": None,
        "condition": None,
        "residual": float(residual),
        "truncated": 0,
        "damped": 0.0,
        "iterations": None,
    }
    return report | {key: (v.item() if isinstance(v, Tensor) else v) for key, v in known.items()}


def _dense_report(tangent: Tangent, gradient: Tensor, found: dense.Dense) -> dict[str, float | None]:
    """Report with rank and condition from the eigenvalues. They are expensive: only logged steps compute them."""
    values = torch.linalg.eigvalsh(tangent.metric)
    rank = len(values) - int(found.truncated)
    damped = float(found.damped)
    smallest = max(float(values[-rank]) if rank else 0.0, 0.0) + damped
    condition = (float(values[-1]) + damped) / smallest if smallest > 0 else None
    return _report(
        tangent, gradient, found.value, rank=rank, condition=condition, truncated=found.truncated, damped=damped
    )


class Truncated(Solver):
    """Eigenvalue solver that drops eigenvalues of G below rcond times the largest.

    Args:
        rcond: relative cut, part of the method rather than a tolerance: if it is too small, the map folds; if it is
            too large, the map cannot follow the flow.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.truncated_eigen(tangent.metric, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class QR(Solver):
    """Solver by QR of sqrt(w) J and an SVD of R, without forming G.

    Args:
        rcond: the solver drops squared singular values below rcond times the largest.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.truncated_qr(tangent.features, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class Cholesky(Solver):
    """Cholesky solver of G + lambda I, lambda = damping times the mean diagonal (more if not positive definite).

    Args:
        damping: relative to the mean diagonal; 0 requires a metric of full rank.
    """

    @checked
    def __init__(self, damping: NonNegative = 1e-8) -> None:
        self.damping = damping

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = dense.damped_cholesky(tangent.metric, -gradient, self.damping)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))


class MINRES(Solver):
    """Krylov solver that needs products G v only and forms no matrix: for networks with many parameters.

    Args:
        rtol: the solver stops at this relative residual.
        max_iter: largest number of products.
    """

    @checked
    def __init__(self, rtol: Fraction = 1e-10, max_iter: Count = 1000) -> None:
        self.rtol, self.max_iter = rtol, max_iter

    def forms_metric(self, banded: bool) -> bool:
        return False

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        found = minres(tangent.apply, -gradient, self.rtol, self.max_iter)
        return Velocity(found.value, lambda: _report(tangent, gradient, found.value, iterations=found.iterations))


class Banded(Solver):
    """Solver by the closed forms of the paper, O(m): hat functions for the weights, cell averages for the biases.

    Args:
        rcond: for biases; the two knots of a cell move together if its mass is below rcond times the largest.
    """

    uses_chart = True

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        self.rcond = rcond

    def forms_metric(self, banded: bool) -> bool:
        return False

    def check(self, map: TransportMap) -> None:
        if map.space() is None and map.steps(map.theta.detach()) is None:
            raise ConfigError(
                "solver=banded has closed forms only for network=spline or one_sided_relu, and for "
                "network=two_sided_relu with network.train=weights or biases: use solver=auto"
            )

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        neurons = tangent.map.steps(tangent.theta, tangent.part)
        if neurons is None:
            raise TypeError(f"{type(tangent.map).__name__} has no closed form: call Solver.check first")
        space = StepSpace(tangent.map.base, neurons, self.rcond)
        value = space.solve(gradient)
        return Velocity(value, lambda: _report(tangent, gradient, value, truncated=space.truncated))


class MovingKnots(Solver):
    """Solver with knots and values as unknowns and a regularised metric, O(m): for train = "all".

    Args:
        drag: lambda, factor of the squared velocities of the knots: a knot where the map does not bend stands still.
        viscosity: mu, factor of the squared rates at which cells shrink or grow: cells cannot empty.
    """

    @checked
    def __init__(self, drag: Positive = 1e-2, viscosity: Positive = 1e-2) -> None:
        self.factors = Regularisation(drag, viscosity)

    def regularisation(self, map: TransportMap) -> Regularisation | None:
        return self.factors

    def forms_metric(self, banded: bool) -> bool:
        return False

    def check(self, map: TransportMap) -> None:
        if map.knot_space() is None:
            raise ConfigError(
                "solver=moving_knots needs network=two_sided_relu with network.train=all: use solver=auto"
            )

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        raise TypeError("moving knots have their own metric: see wgf.projection.knots")


class Auto(Banded):
    """Closed form if there is one, moving knots for train = "all", else an eigenvalue solver with a smooth cut.

    The smooth cut, e/(e^2 + (rcond e_max)^2) in place of 1/e, keeps the velocity continuous when knots meet and a
    direction disappears. With a sharp cut the velocity would jump between steps. Weights that are updated in turn have
    a closed form of the metric, and a damping instead of a cut.

    Args:
        rcond: position of the cut, relative to the largest eigenvalue, or the damping, relative to the trace.
    """

    @checked
    def __init__(self, rcond: Fraction = 1e-6) -> None:
        super().__init__(rcond)

    def regularisation(self, map: TransportMap) -> Regularisation | None:
        return None if map.knot_space() is None else Regularisation()

    def forms_metric(self, banded: bool) -> bool:
        return not banded

    def check(self, map: TransportMap) -> None:
        """Every map is allowed."""

    def solve(self, tangent: Tangent, gradient: Tensor) -> Velocity:
        if tangent.map.steps(tangent.theta, tangent.part) is not None:
            return super().solve(tangent, gradient)
        if (ramps := tangent.map.ramps(tangent.theta, tangent.part)) is not None:
            space = RampSpace(tangent.nodes, ramps, self.rcond)
            value = space.solve(gradient)
            return Velocity(value, lambda: _report(tangent, gradient, value, damped=space.damping))
        found = dense.filtered_eigen(tangent.metric, -gradient, self.rcond)
        return Velocity(found.value, lambda: _dense_report(tangent, gradient, found))
