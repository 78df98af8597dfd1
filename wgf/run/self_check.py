"""Self-checks of a run: signs that its numbers are wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from wgf.certificates.unseen import ENERGY
from wgf.flow import Flow
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock
from wgf.networks.base import TransportMap
from wgf.problem.interaction import Interaction
from wgf.process import threads_of_torch
from wgf.projection.remesh import UNRESOLVED
from wgf.reference_solutions.unfelt import TOLERANCE, Points, gauss, missed
from wgf.result import Result
from wgf.saved_maps import SavedMaps

MASS = 1e-6  # tolerance of the mass
INFINITE = 0.025  # error of an energy, relative to those at the start and at the end, that may be infinite
BALANCE = 0.1  # tolerance of the dissipated energy, relative to the energy lost
HELD = 1e-6  # smallest slope of a map that is held where it would fold, and loses energy there without moving
MOMENT = 1e-2  # tolerance of the second moment, relative to its law
ROUNDED = 1e-3  # tolerance of the bound, relative
UNFELT = 1e-4  # tolerance of the displacement by what the flow does not feel of W, relative to the law's width


def doubts(
    result: Result,
    maps: SavedMaps | None,
    rounding: float = 0.0,
    clock: Clock | None = None,
    shortened: str | None = None,
    unseen: float | None = None,
    passed: tuple[float, float] | None = None,
    unfelt: float = 0.0,
    sampled: bool = False,
) -> str | None:
    """Numbers of a run that may be wrong, and why, as one text; None if all checks pass.

    Args:
        result: every number of the run.
        maps: the saved maps.
        rounding: rounding error of a W2 error (length); bounds do not include it.
        clock: progress of the run; None for a run that accepts no fold and no rise of the energy.
        shortened: how fixed steps differ from the setting, see `Integrator.shortened`.
        unseen: potential energy in wells or peaks that the quadrature may have missed, relative to all energies (no
            unit).
        passed: length of fixed steps, and the time within which V changes, which is less (time).
        unfelt: displacement that `unfelt` gives (length).
        sampled: whether the quadrature sums random particles.
    """
    return (
        "; ".join(
            [
                *(_accepted(clock) if clock else ()),
                *_doubts(result, None if clock and clock.folded_at else maps, rounding, sampled),
                *filter(None, [shortened, _missed(unseen or 0.0), _passed(passed), _unmoved(unfelt)]),
            ]
        )
        or None
    )


def _missed(unseen: float) -> str | None:
    """What V has between the quadrature nodes."""
    if unseen <= ENERGY:
        return None
    return (
        "everything: V has wells or peaks between the quadrature nodes that change energy_potential by "
        f"{unseen:.1e} of the energies, so the flow hardly feels them; increase network.width and quadrature.order"
    )


def _passed(passed: tuple[float, float] | None) -> str | None:
    """What V does between the times at which steps look at it."""
    if passed is None:
        return None
    step, change = passed
    return (
        f"everything: V changes within {change:.1e}, and steps of {step:.1e} pass over that; decrease integrator.dt or "
        "choose an adaptive integrator"
    )


def _unmoved(unfelt: float) -> str | None:
    """What W has between the quadrature nodes."""
    if unfelt == 0.0:
        return None
    return (
        f"everything: W varies between the quadrature nodes, which may move particles by {unfelt:.1e}, and the flow "
        "does not feel it; increase network.width and quadrature.order"
    )


@threads_of_torch(1)
def unfelt(flow: Flow) -> float:
    """W2 displacement by what the quadrature of a flow does not feel of W, at the start or at the end (length).

    0 below a tolerance, where a reference solution feels W and tells the error, for a rule without cells, and for a W
    that is no kernel summed over pairs.
    """
    projection, saved = flow.projection, flow.saved
    problem, order = projection.problem, projection.quadrature.order
    width, kernel, t = problem.law.std, problem.interaction, flow.clock.t
    known = flow.reference_solution
    if known is not None and getattr(known, "w2_error", 0.0) <= UNFELT * width:
        return 0.0
    if order is None or kernel.vanishes or type(kernel).split is Interaction.split or not saved.times:
        return 0.0
    speeds = []
    for number in (0, -1):
        points = _points(*saved[number], problem.domain.period)
        velocity, rest = missed(kernel, points, points.places(), TOLERANCE * width / t, gauss(order))
        speeds.append(math.sqrt(((np.abs(velocity) + rest) ** 2).mean()))
    moved = t * max(speeds)
    return moved if moved > UNFELT * width else 0.0


def _points(map: TransportMap, theta: Tensor, period: float | None) -> Points:
    """The particles of a map with parameters theta [p] in the cells of a quadrature, turned on a circle (length)."""
    theta, base = theta.detach().double(), map.base
    knots = map.knots(theta).double().cpu()
    mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique().numpy()
    count = len(mesh) - 1

    def split(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of the base, and turns."""
        turns = np.floor(s / count) if period else np.zeros_like(s)
        return np.interp(s - turns * count, np.arange(count + 1), mesh), turns

    @torch.no_grad()
    def x(s: np.ndarray) -> np.ndarray:
        z, turns = split(s)
        return map.evaluate(theta, torch.from_numpy(z).to(theta.device))[0].cpu().numpy() + turns * (period or 0.0)

    def density(s: np.ndarray) -> np.ndarray:
        cell = np.floor(s).astype(int) % count
        return base.density(torch.from_numpy(split(s)[0])).numpy() * np.diff(mesh)[cell]

    return Points(x, density, count, period is not None)


def _accepted(clock: Clock) -> Iterator[str]:
    """What integrator.strict=false let pass."""
    if clock.folded_at is not None:
        yield (
            f"map: folded since t = {clock.folded_at:.6g} (integrator.strict=false), so densities are wrong, and "
            "w1_error and w2_error are upper bounds of the distances"
        )
    if clock.raised_at is not None:
        yield f"energy: rose at t = {clock.raised_at:.6g} for the first time (integrator.strict=false)"


def ended(result: Result) -> Iterator[str]:
    """Doubts about the time at which a run ended."""
    latest = result.blow_up_bound
    if latest is not None and (result.t_end or 0.0) > latest * (1 + ROUNDED):
        yield (
            f"t_end: the equation has no solution after t = {latest:.6g}, where its variance would vanish, so that "
            "nothing here tells about it, lower t_end"
        )
    elif result.status == Status.blow_up.name:
        yield "t_end: the map blows up then, the equation may do so earlier: compare a larger network.width"


def _of_energies(result: Result, sampled: bool) -> Iterator[str]:
    size, error = sum(map(abs, result.energy_terms.values())), result.energy_error or 0.0
    if error > ENERGY * size:
        names = ", ".join([f"energy_{name}" for name in result.energy_terms] + ["work"] * (result.work is not None))
        why = (
            f"sums over random particles have a standard error of {error:.1e}; increase quadrature.particles, or say "
            "quadrature=gauss"
            if sampled
            else f"shorter cells, or tails, change them by {error:.1e}; increase quadrature.order, or choose a law "
            "with lighter tails"
        )
        yield f"energy, {names}, dissipated: {why}"
    if error > INFINITE * (size + abs(result.dissipated or 0.0)) and not sampled:
        yield (
            "mean, second_moment, min_slope, w1_error, w2_error: the energy is hardly resolved at the start or end, "
            "or infinite, and then rounding decides the first steps; increase quadrature.order, or choose a law with "
            "lighter tails or without infinite densities"
        )


def _doubts(result: Result, maps: SavedMaps | None, rounding: float, sampled: bool) -> Iterator[str]:
    if not abs(result.mass - 1) <= MASS:
        yield f"mass: {result.mass - 1:+.1e} off 1, the quadrature does not resolve the base"
    if maps is not None:
        # ignore the tails: rounding dominates where there is almost no mass
        seen = (maps.cdf >= 1e-12) & (maps.cdf <= 1 - 1e-12)
        rises = (np.diff(maps.T[:, seen], axis=1) > 0).all(1) & (maps.dT[:, seen] > 0).all(1)
        if not rises.all():
            yield (
                f"map: not increasing between the quadrature nodes at t = {maps.t[rises.argmin()]:.6g}, so densities "
                "are wrong there; increase network.width"
            )
        elif result.status == Status.completed.name and not result.min_slope > 0:
            yield f"map: its smallest slope is {result.min_slope:.1e}, so densities are wrong; increase network.width"
    yield from ended(result)
    yield from _of_energies(result, sampled)
    gap = result.dissipation_gap
    if gap is not None and not gap <= BALANCE:
        slope = result.min_slope
        edge = f", or the map is held where it would fold (smallest slope {slope:.0e})" if 0 < slope < HELD else ""
        yield f"dissipated: {gap:.0%} off the energy lost, the steps are too long{edge}, shorten them"
    law = result.second_moment_law
    if law is not None and not abs(result.second_moment - law) <= MOMENT * max(abs(law), math.ulp(1.0)):
        yield f"second_moment: {result.second_moment - law:+.1e} off its law, which the projected flow keeps exactly"
    if result.mesh_tolerance is not None and not (result.mesh_error or 0.0) <= UNRESOLVED * result.mesh_tolerance:
        yield (
            f"w2_error: at some time the breakpoints resolved the map only to {result.mesh_error:.1e} instead of "
            f"{result.mesh_tolerance:.1e}; increase network.width or network.tol"
        )
    if result.unconfirmed is not None:
        yield f"w2_error: no run with a smaller tolerance confirms this one: {result.unconfirmed}"
    bound, error = result.w2_bound, result.w2_error
    known = (result.reference_w2_error or 0.0) + rounding
    if bound is not None and error is not None and not error <= bound * (1 + ROUNDED) + known:
        yield f"w2_error, w2_bound: the error is {error:.1e}, but it cannot exceed {bound:.1e}"
    if result.reference_w2_bound is not None and result.w2_bound_certificate is not None:
        least = result.reference_w2_bound - 2 * result.w2_bound_certificate
        if least > (1 + ROUNDED) * known:
            yield f"reference_w2_error: the reference states {known:.1e}, but its error is at least {least:.1e}"
