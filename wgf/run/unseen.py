"""What a potential may hide between the quadrature nodes of a flow."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.flow import Flow
from wgf.networks.base import TransportMap
from wgf.problem.potential import Potential
from wgf.problem.quadrature import legendre

PIECES = 32  # of a cell, of two nodes each
SHARE = 1 / 500  # of the mass that a well or a peak between two nodes may hold


def unseen(flow: Flow) -> float | None:
    """Potential energy at the start or at the end that the quadrature of a flow may have missed (energy).

    None for a rule without cells.
    """
    v, names = flow.problem.potential, [term.name for term in flow.problem.terms]
    if flow.projection.quadrature.order is None or v.vanishes:
        return None
    known = [float(flow.saved.terms[k][names.index(v.name)]) for k in (0, -1)]
    ends = [(flow.projection.map, flow.projection.initial), flow.saved[-1]]
    if v.moves:  # it is known at the end only
        known, ends = known[1:], ends[1:]
    return max(_between(v, *end, energy) for end, energy in zip(ends, known, strict=True))


@torch.no_grad()
def _between(v: Potential, map: TransportMap, theta: Tensor, energy: float) -> float:
    """Difference of int V(T) p dz on many pieces of every cell to the energy of a flow, or what V hides on these.

    Where V'' >= lambda, V exceeds its chord over a length s by -lambda s^2/8 at most.
    """
    theta, base = theta.detach().double(), map.base
    knots = map.knots(theta).cpu()
    mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique()
    s, half = legendre(2, mesh.dtype, mesh.device)
    s = ((torch.arange(PIECES)[:, None] + s) / PIECES).reshape(-1)
    z = mesh[:-1, None] + mesh.diff()[:, None] * s
    w = (mesh.diff()[:, None] * half.repeat(PIECES) / PIECES * base.density(z)).reshape(-1)
    x = map.evaluate(theta, z.reshape(-1).to(theta.device))[0].cpu()
    gaps, masses = x.diff(), 0.5 * (w[1:] + w[:-1])
    hidden = max(-(v.convexity or 0.0), 0.0) / 8 * float(masses @ gaps**2)
    return max(abs(float(w @ v.value_at(x)) - energy), SHARE * hidden)
