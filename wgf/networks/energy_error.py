"""How far the energies of a map are off by a quadrature: what finer cells, tails and rounding change.

All is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from wgf.networks.base import TransportMap
from wgf.problem.energy import Local, MapAtNodes, Term, standard_error
from wgf.problem.quadrature import Nodes, Quadrature

SHORT = 1e-9  # length of a cell, relative to the law's width and its distance from there, that is too short to cut
PARTS = {2: 2.0, 3: 1.5}  # of a cell; error relative to the change by them at order 1
# at an order p < 1, as in tails, halves change 1 - 2^-p of the error, and thirds (1 - 3^-p) / (1 - 2^-p) times as much:
# that share falls by so much as the ratio rises beyond 4/3, and is so large at least
SLOWER, LEAST_SHARE = 1.9, 0.25
MANY, MOST = 16, 300_000  # parts of a cell, for wells of V that halves and thirds miss, and most nodes then
SAFE = 1.5  # times the change by them: of wells they may miss some, too
FARTHEST, POINTS = 1e-120, 300  # mass at which the integral over a tail ends, and its points


class QuadratureOfEnergies:
    """The energies of a map by a quadrature, and how far they are off.

    Args:
        terms: of the energy.
        map: the network.
        quadrature: of the run.
        theta: parameters of the map [p].
    """

    def __init__(self, terms: Sequence[Term], map: TransportMap, quadrature: Quadrature, theta: Tensor) -> None:
        self.terms, self.map, self.quadrature, self.theta = terms, map, quadrature, theta.detach().double()

    def error(self, terms: Tensor | None = None) -> float | None:
        """Largest error of an energy (energy), by its changes when the quadrature cuts its cells, or its standard error
        by random particles; None for other rules without cells.

        It counts what lies in infinite tails beyond all cells, and what lies in cells too short to be cut, beside an
        edge where the density is infinite: infinite energies are not resolved. The rounding of energies that are known,
        `terms` [k], counts, too.
        """
        quadrature, base = self.quadrature, self.map.base
        if not self.terms or (quadrature.order is None and quadrature.noise == 0):
            return None
        nodes = self._nodes
        if quadrature.order is None:
            return standard_error(self.terms, self._at(nodes))
        energies = self._energies
        cells = nodes.z.unflatten(0, (-1, quadrature.order))
        shortest = SHORT * (base.std + (cells[:, :1] - base.mean).abs())
        short = (cells[:, -1:] - cells[:, :1] < shortest).expand_as(cells).flatten()
        error = self._by_finer_cells()
        if terms is not None:
            error = error + (energies - terms.to(energies)).abs()
        if quadrature.order > 1 and bool(short.any()):
            rest = replace(nodes, w=nodes.w.masked_fill(short, 0.0))
            error = error + (self.energies(rest) - energies).abs()
        if math.isinf(base.lower) or math.isinf(base.upper):
            plain = Nodes(nodes.z, nodes.w, nodes.base)  # without cells, as the tails are: kinks count alike
            error = error + (self.energies(self._with_tails(nodes)) - self.energies(plain)).abs()
        return float(error.max().nan_to_num(math.inf, math.inf))

    def _by_finer_cells(self) -> Tensor:
        """Errors of the energies [k] by their changes."""
        changes = self.changes()
        error = (changes.new_tensor([*PARTS.values()])[:, None] * changes).abs().amax(0)
        share = 0.5 - SLOWER * (changes[1] / changes[0] - 4 / 3)
        error = error.maximum(changes[0].abs() / share.nan_to_num(0.5).clamp(LEAST_SHARE, 0.5))
        local = [k for k, term in enumerate(self.terms) if isinstance(term, Local)]  # sums over pairs cost too much
        if local and MANY * len(self._nodes.z) <= MOST:
            at = self._at(self.cut(MANY))
            finest = torch.stack([self.terms[k].value(at) for k in local])
            error[local] = error[local].maximum((finest - self._energies[local]).abs() * SAFE)
        return error

    def changes(self) -> Tensor:
        """Changes of the energies when the cells are cut in 2 and in 3 [2, k]."""
        return torch.stack([self.energies(self.cut(parts)) for parts in PARTS]) - self._energies

    @cached_property
    def _nodes(self) -> Nodes:
        """The nodes of the quadrature itself."""
        return self.cut(1)

    @cached_property
    def _energies(self) -> Tensor:
        """The energies by the quadrature itself [k]."""
        return self.energies(self._nodes)

    def cut(self, parts: int) -> Nodes:
        """The nodes of the quadrature whose cells are cut in so many equal parts."""
        base, knots = self.map.base, self.map.knots(self.theta).double()
        mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique()
        inner = [torch.lerp(mesh[:-1], mesh[1:], k / parts) for k in range(1, parts)]
        return self.quadrature.nodes(base, torch.cat([knots, *inner]))

    def energies(self, nodes: Nodes) -> Tensor:
        """The energies by some nodes [k]."""
        at = self._at(nodes)
        with torch.no_grad():
            return torch.stack([term.value(at) for term in self.terms])

    @torch.no_grad()
    def _at(self, nodes: Nodes) -> MapAtNodes:
        return MapAtNodes(nodes, *self.map.evaluate(self.theta, nodes.z))

    def _with_tails(self, nodes: Nodes) -> Nodes:
        """The nodes, and others in infinite tails beyond all cells: int f du = int u f d(log u); u is the mass further
        out."""
        base, panels = self.map.base, nodes.z.new_tensor(self.map.base.panels())
        z, w = [nodes.z], [nodes.w]
        for end, mass, place in (
            (base.lower, base.cdf(panels[:1]), base.quantile),
            (base.upper, base.survival(panels[-1:]), base.upper_quantile),
        ):
            if math.isinf(end):
                begin = mass.new_full((1,), FARTHEST)
                log_u = torch.lerp(begin.log(), mass.maximum(begin).log(), torch.linspace(0, 1, POINTS).to(mass))
                steps = torch.cat([log_u[:1], log_u, log_u[-1:]])
                z.append(place(log_u.exp()))
                w.append(log_u.exp() * 0.5 * (steps[2:] - steps[:-2]))
        places, masses = torch.cat(z), torch.cat(w)
        order = places.argsort(stable=True)
        return Nodes(places[order], masses[order], base)
