"""What a potential hides between the quadrature nodes of a flow, and between the times of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from wgf.certificates.own_bound import COARSE, PER_STEP, ROUNDING, OwnBound
from wgf.integrators.saved_states import SavedStates
from wgf.networks.base import TransportMap
from wgf.problem.potential import Expressed, Potential
from wgf.problem.quadrature import legendre as gauss
from wgf.problem.tabulated import Tabulated
from wgf.projection.field import Projection
from wgf.settings.formulas.discs import Roughness
from wgf.settings.formulas.enclosure import has_jumps, least_bend

ENERGY = 1e-4  # tolerance of the energy, relative to the sizes of its terms
PIECES = 32  # of a cell, of two nodes each
HIDDEN = "V has wells or peaks between the quadrature nodes: increase network.width and quadrature.order"
SHARE = 1 / 500  # of the mass that a well or a peak between two nodes may hold
NEGLIGIBLE = 1 / 300  # of a bound: what V may hide without a closer look
SMALLEST = 1e-8  # of a bound that is not known yet, relative to the law's width
LOOKS = 4, 64  # maps that are looked at while the law moves by its width, and most of them
FAR = 8.0  # widths between two saved maps, beyond which it moves no farther
LEAST, SMALL = 1e-16, 1e-3  # masses of cells that are looked at, and of pieces of which many may be rough
CUT, ROUNDS, MOST = 4, 20, 2_000  # pieces of a rough piece, how often, and most of them for a map
BLOCK = 4096  # pieces integrated at once
WAYS = 64  # pieces of the way of a particle in a step
KINK = 1e-6  # of a cell's width: a kink so near to an end is at the end


def account(recorder: OwnBound, saved: SavedStates, missed: float | None) -> None:
    """Add to a bound what V hides between the quadrature nodes; take it from a run that hardly feels V.

    Args:
        recorder: bounds the run.
        saved: the states of the run.
        missed: what `unseen` gives.
    """
    if recorder.unknown is None and (missed or 0.0) > ENERGY:
        recorder.refuse(HIDDEN)
    bounds = ((t, recorder.at(t)) for t in reversed(saved.times[1:]))
    t, bound = next(((t, each) for t, each in bounds if each.value is not None or each.unknown == COARSE), (0.0, None))
    v = recorder.projection.problem.potential
    cut: Callable[[_Cells], _Pieces] | None = None
    smooth, tolerance = None, 0.0
    if bound is not None and isinstance(v, Tabulated):
        cut = partial(_at_points, points=v.points)
    elif bound is not None and isinstance(v, Expressed) and not has_jumps(v.expression):
        rough, width = Roughness(v.expression, recorder.finer.mesh.order), recorder.projection.map.base.std
        if rough.terms:  # a needle that few nodes see may make the quadrature coarse
            size = SMALLEST * width if bound.value is None else max(bound.value, ROUNDING * width)
            tolerance = NEGLIGIBLE * size / recorder.weight(t)
            cut = partial(_resolved, roughness=rough, tolerance=tolerance)
            smooth = Roughness(v.expression, PER_STEP)
    if cut is not None:
        times, norms = _hidden(recorder, saved, cut)
        if np.isfinite(norms).all():
            recorder.hide(times, norms, _crossed(v, recorder.steps(t).places, smooth, tolerance))
        elif not isinstance(v, Expressed) or least_bend(v.expression) is not None:  # else arithmetic does not know V
            recorder.refuse(HIDDEN)


@torch.no_grad()
def _crossed(v: Potential, places: np.ndarray, smooth: Roughness | None, tolerance: float) -> np.ndarray:
    """Norms [r] of V' less the polynomials that the Gauss times of steps see of it on the ways of the particles from
    and to these places [r, 2, k] (length/time): what a law crosses within a step.

    Args:
        smooth: shows the ways on which V' is such a polynomial to a tolerance (length/time); None to look at all.
    """
    low, high = places.min(1).ravel(), places.max(1).ravel()
    hidden = np.zeros(len(low))
    rough = high > low
    if v.kinks is not None:  # particles cross a kink one after the other
        kinks = v.kinks.x.numpy()[:, None]
        rough &= ~((kinks > low) & (kinks < high)).any(0)
    if smooth is not None and rough.any():
        hidden[rough] = smooth(low[rough], high[rough], np.full(int(rough.sum()), tolerance))
        rough &= hidden > tolerance
    chosen = np.flatnonzero(rough)
    for block in (chosen[begin : begin + BLOCK] for begin in range(0, len(chosen), BLOCK)):
        hidden[block] = np.minimum(_apart(v, low[block], high[block], smooth), hidden[block] if smooth else np.inf)
    return np.sqrt((hidden.reshape(len(places), -1) ** 2).mean(1))


def _apart(v: Potential, low: np.ndarray, high: np.ndarray, smooth: Roughness | None) -> np.ndarray:
    """Largest distance [n] of V' in intervals from its polynomial through Gauss nodes, seen at Gauss nodes of pieces,
    between which V' is a polynomial but for what `smooth` says."""
    s, half = legendre.leggauss(PER_STEP)[0], 0.5 * (high - low)[:, None]
    ends = np.linspace(-1.0, 1.0, WAYS + 1)
    inside = (0.5 * (ends[1:] + ends[:-1])[:, None] + s / WAYS).ravel()
    x, edges = (0.5 * (low + high)[:, None] + half * at for at in (np.concatenate([s, inside]), ends))
    slope = v.derivative(torch.from_numpy(x.ravel())).numpy().reshape(x.shape)
    through = legendre.legvander(inside, len(s) - 1) @ np.linalg.inv(legendre.legvander(s, len(s) - 1))
    found = np.abs(slope[:, len(s) :] - slope[:, : len(s)] @ through.T).max(1)
    if smooth is None:
        return found
    pieces = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    return found + smooth(*pieces, np.zeros(len(pieces[0]))).reshape(len(x), -1).max(1)


class _Cells(NamedTuple):
    """Cells of m maps: values of the maps, V' and the density of the law at their nodes [c, q], the number of the map
    and the ends of the cells [c]."""

    x: np.ndarray
    slope: np.ndarray
    density: np.ndarray
    map: np.ndarray
    low: np.ndarray
    high: np.ndarray


class _Pieces(NamedTuple):
    """Pieces of cells from low to high [n], the numbers of their cells [n], and squares of norms [c]: `coarse` is what
    all other parts of a cell hide at most, and `rest` what Gauss nodes of its pieces may miss."""

    low: np.ndarray
    high: np.ndarray
    cell: np.ndarray
    coarse: np.ndarray
    rest: np.ndarray


@torch.no_grad()
@np.errstate(all="ignore")  # what is not finite takes the bound
def _hidden(recorder: OwnBound, saved: SavedStates, cut: Callable[[_Cells], _Pieces]) -> tuple[np.ndarray, np.ndarray]:
    """Times of a flow [m], and the norms of V'(T) - P there [m] (length/time). P is, in each cell, the polynomial
    through the values of V' at the nodes that a bound uses."""
    times, cells = _cells(recorder, saved)
    pieces, v, weights = cut(cells), recorder.projection.problem.potential, _barycentric(cells)
    seen = pieces.coarse.copy()
    for begin in range(0, len(pieces.cell), BLOCK):
        low, high, cell = (part[begin : begin + BLOCK] for part in pieces[:3])
        np.add.at(seen, cell, _differences(v, cells, weights, low, high, cell))
    seen, rest = (np.bincount(cells.map, squares, len(times)) for squares in (seen, pieces.rest))
    return times, np.sqrt(seen) + np.sqrt(rest)


def _resolved(cells: _Cells, roughness: Roughness, tolerance: float) -> _Pieces:
    """Pieces in which V' is so close to polynomials that their Gauss nodes see V' - P.

    A cell where that is so itself, and the norm below a tolerance (length/time), is not cut. Where a piece is rough at
    last, the range of V' in it is the rest.
    """
    coarse, rest = np.zeros((2, len(cells.low)))
    low, high, cell, pieces = cells.low, cells.high, np.arange(len(cells.low)), []
    most, count, apart = cells.density.max(1), MOST * (cells.map.max(initial=0) + 1), _interpolation(cells)
    for turn in range(ROUNDS):
        mass = (high - low) * most[cell]
        allowed = tolerance / apart[cell] * np.maximum(1.0, np.sqrt(SMALL / mass))
        rough = roughness(low, high, allowed)
        again = rough > allowed
        if turn == 0:
            coarse[~again] = ((apart * rough) ** 2 * mass)[~again]
        last = turn == ROUNDS - 1 or CUT * again.sum() > count
        done = ~again & (turn > 0) | (again & last)
        pieces.append((low[done], high[done], cell[done]))
        if last:
            np.add.at(rest, cell[again], (rough**2 * mass)[again])
        if last or not again.any():
            break
        ends = np.linspace(low[again], high[again], CUT + 1)
        low, high, cell = ends[:-1].ravel(), ends[1:].ravel(), np.tile(cell[again], CUT)
    low, high, cell = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return _Pieces(low, high, cell, coarse, rest)


def _barycentric(cells: _Cells) -> np.ndarray:
    """Weights of the nodes of cells, in cells of width 1 [c, q]."""
    gaps = (cells.x[:, :, None] - cells.x[:, None]) / (cells.high - cells.low)[:, None, None]
    return 1 / (gaps + np.eye(cells.x.shape[1])).prod(2)


def _interpolation(cells: _Cells) -> np.ndarray:
    """Error of interpolation in cells relative to the best polynomial [c]: 1 + sum |l_j| of Lagrange's polynomials,
    at the ends and the middle. It is 7 for 12 Gauss nodes, and more where the map bends in a cell."""
    s, weights = (cells.x - cells.low[:, None]) / (cells.high - cells.low)[:, None], _barycentric(cells)
    shares = [weights / np.where(s == at, 1e-100, at - s) for at in (0.0, 0.5, 1.0)]
    return 1 + np.max([np.abs(each).sum(1) / np.abs(each.sum(1)) for each in shares], 0)


def _at_points(cells: _Cells, points: np.ndarray) -> _Pieces:
    """Pieces between the points [k] of a table, for the cells that have some inside: V' is a parabola in each piece."""
    first = np.searchsorted(points, cells.low, "right")
    inside = np.searchsorted(points, cells.high) - first
    some = np.flatnonzero(inside > 0)
    number = inside[some] + 1
    cell = np.repeat(some, number)
    k = np.arange(len(cell)) - np.repeat(number.cumsum() - number, number)  # of a piece in its cell
    at = first[cell] + k
    low = np.where(k == 0, cells.low[cell], points[at - 1])
    high = np.where(k == inside[cell], cells.high[cell], points[at.clip(max=len(points) - 1)])
    return _Pieces(low, high, cell, *np.zeros((2, len(cells.low))))


def _cells(recorder: OwnBound, saved: SavedStates) -> tuple[np.ndarray, _Cells]:
    """Some times of a flow [m], and the cells of its maps then that hold mass and no kink."""
    times, c = _looks(recorder, saved)
    mesh, v = recorder.finer.mesh_of(c), recorder.projection.problem.potential
    at = mesh.values(c)
    parts = at, v.derivative(at.reshape(-1)).view_as(at), mesh.p / mesh.slopes(c), mesh.w.expand_as(at)
    x, slope, density, w = (part.reshape(-1, mesh.order).cpu().numpy() for part in parts)
    low, high = _to_ends(mesh.order) @ x.T
    seen, near = (w.sum(1) > LEAST) & (low < high) & np.isfinite(density).all(1), KINK * (high - low)
    if v.kinks is not None:
        kinks = v.kinks.x.numpy()[:, None]
        seen &= ~((kinks > low + near) & (kinks < high - near)).any(0)
    number = np.repeat(np.arange(len(c)), len(x) // len(c))
    return times, _Cells(*(part[seen] for part in (x, slope, density, number, low, high)))


def _looks(recorder: OwnBound, saved: SavedStates) -> tuple[np.ndarray, Tensor]:
    """Times [m] and coefficients [m, M] of maps between the saved ones, so many that the law moves by a fourth of its
    width from one to the next."""
    c, number, mesh = recorder.coefficients(saved.theta), np.arange(len(saved.times)), recorder.finer.mesh
    x = mesh.values(c)
    moves = mesh.norm(x.diff(dim=0)) / mesh.norm(x - mesh.integral(x)[:, None])[1:]
    way = np.append(0.0, moves.nan_to_num(0.0).clamp(max=FAR).cumsum(0).cpu().numpy()) + number / number[-1]
    at = np.interp(np.linspace(0, way[-1], int(min(LOOKS[0] * way[-1], LOOKS[1])) + 1), way, number)
    before = np.floor(at).astype(int).clip(max=number[-1] - 1)
    share = torch.from_numpy(at - before)[:, None].to(c)
    return np.interp(at, number, saved.times), torch.lerp(c[before], c[before + 1], share)


@cache
def _to_ends(order: int) -> np.ndarray:
    """Matrix [2, order] from values at Gauss nodes to those of their polynomial at both ends of a cell."""
    s, _ = legendre.leggauss(order)
    return legendre.legvander([-1.0, 1.0], order - 1) @ np.linalg.inv(legendre.legvander(s, order - 1))


def _differences(
    v: Potential, cells: _Cells, weights: np.ndarray, low: np.ndarray, high: np.ndarray, cell: np.ndarray
) -> np.ndarray:
    """int |V' - P|^2 of the law [n] over pieces from low to high of the cells with the numbers `cell` [n], whose nodes
    have barycentric weights [c, q]."""
    s, w = legendre.leggauss(cells.x.shape[1])
    half, width = 0.5 * (high - low), cells.high - cells.low
    x = 0.5 * (low + high)[:, None] + half[:, None] * s
    away = (x[:, :, None] - cells.x[cell, None]) / width[cell, None, None]
    shares = weights[cell, None] / np.where(away == 0, 1e-100, away)
    sums = (np.einsum("nsq,nq->ns", shares, part[cell]) for part in (np.ones_like(cells.x), cells.slope, cells.density))
    total, slope, density = sums
    gap = v.derivative(torch.from_numpy(x)).numpy() - slope / total
    return half * ((gap**2 * np.maximum(density / total, 0.0)) @ w)


def unseen(projection: Projection, saved: SavedStates, last: int = -1) -> float | None:
    """Potential energy at the start or at saved time number `last` that the quadrature of a flow may have missed,
    relative to all energies then, that of |V| among them (no unit). None for a rule without cells."""
    if projection.quadrature.order is None or projection.problem.potential.vanishes or not saved.terms:
        return None
    return max(missed_at(projection, saved, number)[1] for number in {0, range(len(saved.times))[last]})


def missed_at(projection: Projection, saved: SavedStates, number: int) -> tuple[float, float]:
    """Potential energy at a saved time that the quadrature may have missed (energy), and its share of all energies,
    those with logarithms of lengths in standard deviations of the law."""
    problem, (map, theta), terms = projection.problem, saved[number], saved.terms[number].double().cpu()
    k = [term.name for term in problem.terms].index(problem.potential.name)
    missed, size = _between(problem.potential.at(saved.times[number]), map, theta, float(terms[k]))
    logarithms = terms.new_tensor([float(term.logarithm) for term in problem.terms])
    sizes = (terms - math.log(problem.law.std) * logarithms).abs()
    size += float(sizes.sum() - sizes[k])
    return missed, missed / (size + 1e-300) - 1e3 * torch.finfo(theta.dtype).eps


@torch.no_grad()
def _between(v: Potential, map: TransportMap, theta: Tensor, energy: float) -> tuple[float, float]:
    """Difference of int V(T) p dz on many pieces of every cell to the energy of a flow, or what V hides on these; and
    int |V(T)| p dz.

    Where V'' >= lambda, V exceeds its chord over a length s by -lambda s^2/8 at most.
    """
    theta, base = theta.detach().double(), map.base
    knots = map.knots(theta).double().cpu()
    mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique()
    s, half = gauss(2, mesh.dtype, mesh.device)
    s = ((torch.arange(PIECES)[:, None] + s) / PIECES).reshape(-1)
    z = mesh[:-1, None] + mesh.diff()[:, None] * s
    w = (mesh.diff()[:, None] * half.repeat(PIECES) / PIECES * base.density(z)).reshape(-1)
    x = map.evaluate(theta, z.reshape(-1).to(theta.device))[0].double().cpu()
    gaps, masses, values = x.diff(), 0.5 * (w[1:] + w[:-1]), v.value_at(x)
    hidden = max(-(v.convexity or 0.0), 0.0) / 8 * float(masses @ gaps**2)
    return max(abs(float(w @ values) - energy), SHARE * hidden), float(w @ values.abs())
