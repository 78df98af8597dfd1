"""Wasserstein distances on the line, W_q^q = int_0^1 |q_1(u) - q_2(u)|^q du: particles of equal rank are compared.

The integral runs over one of the two bases, on cells that are cut in three until W1 and W2 no longer change: edges,
tails, kinks and jumps of the maps are resolved wherever they lie. A cell in which the difference changes its sign is
cut there, because |difference| has a kink.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.networks.base import TransportMap
from wgf.problem.base import Base, Law, Start
from wgf.problem.quadrature import Nodes, legendre
from wgf.problem.turns import best_turns
from wgf.process import threads_of_torch
from wgf.reference_solutions.base import Computed
from wgf.reference_solutions.exact import Exact
from wgf.reference_solutions.sign_changes import ORDER, cut, mismatch, zeros
from wgf.settings.answers import answer

FINE = 3e-10  # share of W_q^q, of the laws or of a map's own error, that cutting a cell may change by default
CELLS, ROUNDS = 30_000, 40  # cut in one round at most, and rounds at most
LOOKS = 2  # for changes of sign before
PARTS = 3  # of a cell that is cut
LEAST = 1e-30  # mass beyond the last cell, where there is no edge
TURNS = 4096  # points of a circle at which maps are compared to find the best turn
ROUGH = 1e-6, 1024  # share `fine` from which so many points are enough
LAST = 2.0**-53  # share of a circle that may lie before the first place and after the last one
BEYOND = 1e-9  # mass of a law, and share of a circle, that may lie beyond one turn
FALL = 1e-9  # of a map that increases, by rounding of a caller's formula, relative to the largest position
ROUNDING = 8 * torch.finfo(torch.float64).eps  # error of a position, relative to the largest


@dataclass(frozen=True)
class Carried:
    """A law carried by an increasing map.

    Attributes:
        base: the law of the starts.
        place: the map [n] -> [n] (length).
        kinks: where it is not smooth [K] (length).
        period: length of a circle on which the law lives; None on the line (length).
        errors: W1 and W2 errors of the map, whose digits are worth no finer cells (length).
        source: a solution and a time (time) at which the map is that of the solution, or None.
        noise: roughness of its places, which no cells resolve (length).
    """

    base: Base
    place: Callable[[Tensor], Tensor]
    kinks: Tensor
    period: float | None = None
    errors: tuple[float, float] = (0.0, 0.0)
    source: tuple[Exact, float] | None = None
    noise: float = 0.0

    @classmethod
    def by(cls, map: TransportMap, theta: Tensor) -> Carried:
        """The law that a network carries with the parameters theta [p]."""

        @torch.no_grad()
        def place(z: Tensor) -> Tensor:
            return map.evaluate(theta.double(), z.to(theta.device))[0].cpu()

        return cls(map.base, place, map.knots(theta).detach().double().cpu(), map.period)

    @classmethod
    def of(cls, base: Base, known: Exact, t: float) -> Carried:
        """A known solution at t (time)."""
        errors, kinks = (known.errors_at(t), known.kinks) if isinstance(known, Computed) else ((0.0, 0.0), [])
        places = torch.tensor(kinks, dtype=torch.float64)
        noise = getattr(known, "noise", 0.0)
        source = known, t
        return cls(base, lambda z: answer("other", known(t, z), z), places, None, errors, source, noise)

    @classmethod
    def law(cls, law: Law, base: Base) -> Carried:
        """A law, carried from a base."""
        start = Start(law, base)
        return cls(base, start, start.kinks)

    def turned(self, shift: float, length: float) -> Carried:
        """The same law on a circle (length), its particles counted from another one."""

        def place(z: Tensor) -> Tensor:
            turns = ((z + shift) / length).floor()
            # a law without ends has no place at rank 0
            return self.place((z + shift - turns * length).clamp(LAST * length, (1 - LAST) * length)) + turns * length

        seams = torch.cat([self.kinks, torch.zeros(1, dtype=torch.float64)])
        return Carried(self.base, place, (seams - shift).remainder(length), errors=self.errors)

    @property
    def mesh(self) -> Tensor:
        """Ends of cells between which base and map are smooth (length)."""
        return smooth_cells(self.base, self.kinks)


def smooth_cells(base: Base, kinks: Tensor) -> Tensor:
    """Ends of cells, in any order, between which a base and maps with kinks [K] are smooth (length)."""
    u, panels = torch.tensor([LEAST], dtype=torch.float64), torch.tensor(base.panels(), dtype=torch.float64)
    mesh = torch.cat([base.quantile(u), base.upper_quantile(u), panels, kinks.clamp(base.lower, base.upper)])
    return mesh[mesh.isfinite()]


@dataclass(frozen=True)
class Distance:
    """Distances between two laws, with the nodes that resolve them.

    Attributes:
        w1, w2: W1 and W2 (length); NaN where one of the maps is unknown.
        w1_error, w2_error: changes of W1 and W2 when the last cells were cut (length).
        nodes: quadrature of the first law's base.
        target: positions of the second law's particles of equal rank [n] (length).
    """

    w1: float
    w2: float
    w1_error: float
    w2_error: float
    nodes: Nodes
    target: Tensor

    @property
    def increases(self) -> bool:
        """Whether the second law's map increases at the nodes, up to rounding: else its particles have other ranks."""
        return bool((self.target.diff() >= -FALL * self.target.abs().max()).all())


def distance(one: Carried, other: Carried, fine: float = FINE) -> Distance:
    """Compute W1 and W2 between two carried laws; cutting a cell may change this share `fine` of them.

    Raises:
        ConfigError: they live on different circles, or one of them on a line without fitting on the circle.
    """
    length = one.period
    if other.period != length and (length is None or other.base is not one.base):
        ours, theirs = ("the line" if n is None else f"a circle of length {n:g}" for n in (length, other.period))
        raise ConfigError(f"the other law lives on {theirs}, and this one on {ours}: expected laws on one domain")
    if length is not None and other.period is None:
        u = torch.tensor([BEYOND], dtype=torch.float64)
        low, high = (float(other.place(end)) for end in (other.base.quantile(u), other.base.upper_quantile(u)))
        if high - low > length * (1 + BEYOND):
            raise ConfigError(
                f"the other law reaches from {low:.4g} to {high:.4g}, and this one lives on a circle of length "
                f"{length:g}: expected a law that fits on it"
            )
    return distances([one], [other], fine)[0]


@threads_of_torch(1)
def distances(ones: Sequence[Carried], others: Sequence[Carried], fine: float = FINE) -> list[Distance]:
    """The same for pairs: laws on one base and laws on another one. Together they take a fraction of the time."""
    if ones[0].period is None:
        return _by_rank(ones, others, fine)
    return [_around(one, other, one.period or 0.0, fine) for one, other in zip(ones, others, strict=True)]


def _around(one: Carried, other: Carried, length: float, fine: float) -> Distance:
    """Distances on a circle (length)."""
    points = TURNS if fine < ROUGH[0] else ROUGH[1]
    first, second = (each.turned(0.0, length).place for each in (one, other))
    by_median, by_mean, loss = best_turns(first, second, length, points)
    of_w1, of_w2 = (_by_rank([one], [other.turned(shift, length)], fine)[0] for shift in (by_median, by_mean))
    return replace(of_w2, w1=of_w1.w1, w1_error=of_w1.w1_error + loss)


def _places(carried: Sequence[Carried], points: Tensor, counts: Tensor) -> Tensor:
    """Where maps carry points: the first map the first `counts[0]` of them, and so on."""
    if all(each is carried[0] for each in carried):
        return carried[0].place(points)
    parts, sources = points.split(counts.tolist()), [each.source for each in carried]
    known = sources[0][0] if sources[0] else None
    if isinstance(known, Computed) and all(source and source[0] is known for source in sources):
        return known.at_times([source[1] for source in sources if source], parts)
    return torch.cat([one.place(part) for one, part in zip(carried, parts, strict=True)])


def _by_rank(ones: Sequence[Carried], others: Sequence[Carried], fine: float) -> list[Distance]:
    """Distances of pairs if particles of equal rank are compared. Every cell has an owner, the number of its pair."""
    base, theirs, pairs = ones[0].base, others[0].base, len(ones)
    same = theirs is base
    errors = [torch.tensor([each.errors for each in carried], dtype=torch.float64) for carried in (ones, others)]
    unknown = (errors[0] + errors[1]).T ** torch.tensor([[1], [2]])
    rough = torch.tensor([[each.noise for each in carried] for carried in (ones, others)], dtype=torch.float64).sum(0)
    s, half = legendre(ORDER, torch.float64, torch.device("cpu"))

    def by_pair(values: Tensor, owner: Tensor) -> Tensor:
        """Sums [q, pairs] of values [q, N]."""
        return values.new_zeros(len(values), pairs).index_add(1, owner, values)

    def compared(low: Tensor, high: Tensor, owner: Tensor) -> list[Tensor]:
        """Nodes of cells, their masses, places of the second law's particles there, their distances from those of the
        first one, and the rounding of these [N, n]."""
        z, counts = low[:, None] + (high - low)[:, None] * s, ORDER * owner.bincount(minlength=pairs)
        w = (high - low)[:, None] * half * base.density(z)
        start = z.reshape(-1)
        rank = start if same else theirs.at_rank(base.cdf(start), base.survival(start))
        # at an edge the last 1e-16 of the mass has no rank in double precision
        seen = (w > 0) & rank.isfinite().reshape(w.shape)
        w = w.where(seen, 0.0)
        x, y = (_places(*pair, counts).reshape(w.shape) for pair in ((ones, start), (others, rank)))
        noise = ROUNDING * torch.maximum(x.abs(), y.abs()).where(seen, 0.0)
        return [z, w, y, (x - y).where(seen, 0.0), noise]

    def measured(low: Tensor, high: Tensor, owner: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """int |gap|^q p for q = 1, 2, the rounding of both and what both hide [6, N]; cuts of cells [N, 2]; nodes."""
        z, w, y, gap, noise = compared(low, high, owner)
        size = gap.abs()
        cuts, hidden, ends = cut(low, high, z, gap)
        areas, density = mismatch(low, high, owner, z, ends), base.density(cuts[:, 0])
        sums = [(w * v).sum(1) for v in (size, size * size, noise, (2 * size + noise) * noise)]
        sums += [(hidden + areas[0]) * density, areas[1] * density]
        parts = z, w, y, gap, owner[:, None].expand_as(z)
        return torch.stack(sums), cuts, [part.reshape(-1) for part in parts]

    meshes = []
    for one, other in zip(ones, others, strict=True):
        mesh = other.mesh if same else base.at_rank(theirs.cdf(other.mesh), theirs.survival(other.mesh))
        meshes.append(torch.cat([one.mesh, mesh[mesh.isfinite()]]).unique())
    for _ in range(LOOKS):
        low, high, owner = _cells(meshes)
        cell, places = zeros(low, high, *compared(low, high, owner)[-2:])
        meshes = [torch.cat([mesh, places[owner[cell] == k]]).unique() for k, mesh in enumerate(meshes)]
    low, high, owner = _cells(meshes)
    sums, cuts, _ = measured(low, high, owner)
    total, doubt = torch.zeros(2, pairs, dtype=torch.float64), torch.zeros(2, pairs, dtype=torch.float64)
    kept: list[list[Tensor]] = []
    for round in range(ROUNDS):
        low, high = torch.column_stack([low, cuts]).reshape(-1), torch.column_stack([cuts, high]).reshape(-1)
        new, new_cuts, nodes = measured(low, high, owner.repeat_interleave(PARTS))
        parts = new.reshape(6, -1, PARTS).sum(2)
        change = (parts[:2] - sums[:2]).abs() + parts[4:]
        allowed = fine * (total + by_pair(parts[:2], owner) + unknown)[:, owner] + parts[2:4]
        again = (change > allowed).any(0) & (round < ROUNDS - 1)
        again &= nodes[3].abs().reshape(len(owner), -1).amax(1) > rough[owner]
        again &= (owner[again].bincount(minlength=pairs) <= CELLS)[owner]
        total, doubt = (
            total + by_pair(parts[:2, ~again], owner[~again]),
            doubt + by_pair(change[:, ~again], owner[~again]),
        )
        owner, again = owner[again].repeat_interleave(PARTS), again.repeat_interleave(PARTS)
        kept.append([part[~again.repeat_interleave(ORDER)] for part in nodes])
        if not len(owner):
            break
        low, high, sums, cuts = low[again], high[again], new[:, again], new_cuts[again]
    z, w, y, _, owner = (torch.cat(pieces) for pieces in zip(*kept, strict=True))
    order = z.argsort()
    order = order[owner[order].argsort(stable=True)]
    counts = owner.bincount(minlength=pairs).tolist()
    w2 = total[1].sqrt()
    w2_error = (total[1] + doubt[1]).sqrt() - w2
    numbers = (part.tolist() for part in (total[0], w2, doubt[0], w2_error))
    own = zip(*numbers, *(part[order].split(counts) for part in (z, w, y)), strict=True)
    return [Distance(w1, w2, d1, d2, Nodes(z, w, base), y) for w1, w2, d1, d2, z, w, y in own]


def _cells(meshes: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of the cells of meshes, and the number of their mesh [N]."""
    owner = torch.arange(len(meshes)).repeat_interleave(torch.tensor([len(mesh) - 1 for mesh in meshes]))
    low, high = (torch.cat([mesh[part] for mesh in meshes]) for part in (slice(-1), slice(1, None)))
    return low, high, owner
