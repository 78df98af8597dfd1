"""A two-layer ReLU^k network in B-spline coordinates, with linear tails.

Neurons (z - b_i)_+^k and (b_i - z)_+^k with fixed biases span the splines of degree k with breakpoints b_i. B-splines
span the same functions; they are local and well conditioned, neurons are not. Beyond the outer breakpoints the map is
linear, with the value and slope it has there: a free polynomial tail would be unstable.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wgf.errors import ConfigError
from wgf.kept import Kept, content
from wgf.networks.base import Adaptation, Size, TransportMap
from wgf.networks.periodic import PeriodicSpline
from wgf.networks.spline_space import TAIL_MASS, Polynomials, SplineSpace, basis
from wgf.problem.base import Base
from wgf.settings.ranges import Choice, Positive, Range, Width, checked

Tolerance = Annotated[float, Range(low=1e-9, high=0.1)]
Degree = Annotated[int, Range(int, low=1, high=5)]
Placement = Annotated[str, Choice("uniform", "quantile", "adaptive", "equidistributed")]

WIDTH, MOST = 32, 400  # breakpoints by default: of a fixed number, and at most of adaptive ones
CELLS = 12  # with which adaptive breakpoints begin
KEPT = 32  # meshes that are kept for later networks


def breakpoints(base: Base, width: int, bound: float, placement: str) -> Tensor:
    """Breakpoints [m] (length) from mean - bound std to mean + bound std, clipped to where the base has mass."""
    tiny = torch.tensor(TAIL_MASS, dtype=torch.float64)
    low = base.lower if math.isfinite(base.lower) else float(base.quantile(tiny))
    high = base.upper if math.isfinite(base.upper) else float(base.upper_quantile(tiny))
    ends = torch.tensor(
        [max(low, base.mean - bound * base.std), min(high, base.mean + bound * base.std)], dtype=torch.float64
    )
    if placement != "quantile":
        low, high = ends.tolist()
        return torch.linspace(low, high, width, dtype=torch.float64)
    below, above = base.cdf(ends).tolist()
    levels = torch.linspace(below, above, width, dtype=torch.float64)[1:-1]
    inner = torch.where(levels < 0.5, base.quantile(levels), base.upper_quantile(1 - levels))
    return torch.cat([ends[:1], inner, ends[1:]])


class Mesh(NamedTuple):
    """The splines on fixed breakpoints, and the coefficients of the identity [m + k - 1] (length)."""

    space: SplineSpace
    identity: np.ndarray


_meshes = Kept[Mesh](KEPT)


def mesh(base: Base, width: int, bound: float, placement: str, degree: int) -> Mesh:
    """Fixed breakpoints and the identity on them; breakpoints that an earlier network with the same content has, too.

    Raises:
        ConfigError: breakpoints coincide.
    """

    def make() -> Mesh:
        points = breakpoints(base, width, bound, placement)
        if not bool((points.diff() > 1e-9 * base.std).all()):
            raise ConfigError(
                f"network.bound={bound!r} with network.width={width} and network.knots={placement} makes breakpoints "
                "coincide: increase network.bound or decrease network.width"
            )
        return Mesh(SplineSpace(points, degree, key), greville(points, degree).numpy())

    try:
        key = content(base), width, bound, placement, degree
    except TypeError:  # a class from outside wgf
        key = None
    return make() if key is None else _meshes(key, make)


def _changes(points: Tensor) -> int | None:
    """How often a tensor was changed in place; None for one of inference mode, of which torch does not count this."""
    return None if points.is_inference() else points._version


def greville(points: Tensor, degree: int) -> Tensor:
    """Coefficients of the identity [m + k - 1]: means of k neighbouring knots (length)."""
    knots = torch.cat([points[:1].expand(degree), points, points[-1:].expand(degree)])
    return knots[1:-1].unfold(0, degree, 1).mean(1)


def few(base: Base, tol: float) -> Tensor:
    """Breakpoints [CELLS + 1] with which adaptive ones begin (length); 0.1 tol^2 of the mass lies beyond each end."""
    tail = torch.tensor(min(1e-3, max(1e-13, 0.1 * tol**2)), dtype=torch.float64)
    low = base.lower if math.isfinite(base.lower) else float(base.quantile(tail))
    high = base.upper if math.isfinite(base.upper) else float(base.upper_quantile(tail))
    return torch.linspace(low, high, CELLS + 1, dtype=torch.float64)


class Spline(TransportMap):
    """Spline f(z) = sum_i c_i B_i(z) with B-splines B_i; the identity at the start.

    Args:
        width: m >= 2 breakpoints; with adaptive ones their largest number. null means 32, or 400 adaptive ones. "auto"
            means adaptive ones with a tolerance that runs with smaller tolerances confirm.
        degree: k = 1..5; the error of a smooth map is O(m^-(k+1)) and its density has k - 2 continuous derivatives.
        bound: B; the breakpoints lie on mean -+ B std of the base (no unit).
        knots: "uniform" for equispaced breakpoints, "quantile" for equal masses between them, "adaptive" for
            breakpoints that follow the solution to a tolerance, see `wgf.projection.remesh`; they need no bound, or
            "equidistributed" for a fixed number that follows a smooth solution.
        tol: wanted W2 error with adaptive breakpoints, in standard deviations of the initial law (no unit).
        base: the reference measure p.
    """

    points: Tensor
    degree: int
    width: int
    any_start = True
    _made: tuple[Tensor, SplineSpace]
    _known: tuple[Tensor, int | None, torch.dtype, Polynomials] | None

    @checked
    def __init__(
        self,
        width: Width = None,
        degree: Degree = 3,
        bound: Positive = 4.0,
        knots: Placement = "uniform",
        tol: Tolerance = 1e-4,
        *,
        base: Base,
    ) -> None:
        super().__init__(base)
        if width == "auto" or knots == "adaptive":
            most = width if isinstance(width, int) else MOST
            adaptation = Adaptation(tol, most, confirms=width == "auto")
            space = SplineSpace(few(base, tol), degree)
            start = greville(space.points, degree)
        else:
            width = width if isinstance(width, int) else WIDTH
            adaptation = Adaptation(None, width) if knots == "equidistributed" else None
            space, identity = mesh(base, width, bound, knots, degree)
            start = torch.from_numpy(identity.copy())
        points = space.points.clone()  # others share the mesh: a state that is loaded goes into the points in place
        self._buffers["points"], self._parameters["theta"] = points, nn.Parameter(start)
        # at once: torch looks at every attribute that is set, which takes longer than all else here
        settings = {"degree": degree, "least_order": degree + 1, "adaptation": adaptation}
        vars(self).update(settings, width=space.size + 1 - degree, _made=(points, space), _known=None)

    @classmethod
    def size(cls, settings: Mapping[str, Any]) -> Size:
        adaptive = settings["width"] == "auto" or settings["knots"] == "adaptive"
        width = float(MOST if adaptive else WIDTH) if settings["width"] in (None, "auto") else float(settings["width"])
        degree = settings["degree"]
        return Size(width + degree - 1, width, degree, banded=True)

    def on_breakpoints(self, points: Tensor) -> Spline:
        """Network on other breakpoints [m], increasing (length), the identity at the start; itself on its own."""
        if points is self.points:
            return self
        other = copy.copy(self)
        other._buffers, other._parameters = dict(self._buffers), dict(self._parameters)
        other.width, other.points = len(points), points
        other.theta = nn.Parameter(greville(points, self.degree))
        return other

    def on_circle(self, length: float) -> PeriodicSpline:
        """Periodic spline on the same breakpoints, stretched to the circle; 0 and L are the same point (length)."""
        share = (self.points - self.points[0]) / (self.points[-1] - self.points[0])
        found = PeriodicSpline(length * share, self.degree, self.base, self.adaptation)
        return found if self.adaptation is None or self.adaptation.tol is None else found.adapted(self.adaptation)

    def adapted(self, adaptation: Adaptation) -> Spline:
        other = self.on_breakpoints(few(self.base, adaptation.tol or TAIL_MASS).to(self.points))
        other.adaptation = adaptation
        return other

    def space(self) -> SplineSpace:
        made, space = self._made
        if self._buffers["points"] is made and _changes(made) == 0:  # torch looks longer for the attribute
            return space
        return SplineSpace(self.points, self.degree)

    def knots(self, theta: Tensor) -> Tensor:
        return self.points

    def f(self, theta: Tensor, z: Tensor) -> Tensor:
        return self.evaluate(theta, z)[0]

    def evaluate(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._polynomials(theta.dtype)(theta, z, self._inner(cell))

    def evaluate_rows(self, rows: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        if type(self).evaluate is not Spline.evaluate:  # a network of a user
            return super().evaluate_rows(rows, z)
        return self._polynomials(rows.dtype)(rows, z)

    def jacobian(self, theta: Tensor, z: Tensor, cell: Tensor | None = None) -> Tensor:
        first, values, _ = basis(self.points.to(theta.dtype), self.degree, z, self._inner(cell))
        columns = first[:, None] + torch.arange(self.degree + 1, device=z.device)
        return values.new_zeros(len(z), len(theta)).scatter(1, columns, values)

    def _inner(self, cell: Tensor | None) -> Tensor | None:
        """Index of the interval between breakpoints, from the number of knots to the left."""
        return None if cell is None else (cell - 1).clamp(0, self.width - 2)

    def _polynomials(self, dtype: torch.dtype) -> Polynomials:
        """The splines on these breakpoints, kept until these change, also in place."""
        points, version = self.points, _changes(self.points)
        known = self._known
        if known is None or version is None or known[0] is not points or known[1:3] != (version, dtype):
            with torch.inference_mode(False):  # tensors made in that mode would not do later
                self._known = known = points, version, dtype, Polynomials(points.to(dtype), self.degree)
        return known[3]
