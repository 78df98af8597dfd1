"""What a potential hides between the quadrature nodes of a flow."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.certificates.own_bound import OwnBound
from wgf.integrators.saved_states import SavedStates
from wgf.networks.base import TransportMap
from wgf.problem.potential import Potential
from wgf.problem.quadrature import legendre
from wgf.projection.field import Projection

ENERGY = 1e-4  # tolerance of the energy, relative to the sizes of its terms
PIECES = 32  # of a cell, of two nodes each
HIDDEN = "V has wells or peaks between the quadrature nodes: increase network.width and quadrature.order"
SHARE = 1 / 500  # of the mass that a well or a peak between two nodes may hold


def refuse_if_blind(recorder: OwnBound, missed: float | None) -> None:
    """Take its bound from a run whose quadrature misses what V does between its nodes; missed: what `unseen` gives."""
    if recorder.unknown is None and (missed or 0.0) > ENERGY:
        recorder.refuse(HIDDEN)


def unseen(projection: Projection, saved: SavedStates, last: int = -1) -> float | None:
    """Potential energy at the start or at saved time number `last` that the quadrature of a flow may have missed,
    relative to all energies then (no unit). None for a rule without cells."""
    problem = projection.problem
    if projection.quadrature.order is None or problem.potential.vanishes or not saved.terms:
        return None
    k = [term.name for term in problem.terms].index(problem.potential.name)
    found = []
    for number in {0, range(len(saved.times))[last]}:
        map, theta = saved[number]
        terms = saved.terms[number].double().cpu()
        missed = _between(problem.potential.at(saved.times[number]), map, theta, float(terms[k]))
        found.append(missed / (float(terms.abs().sum()) + 1e-300) - 1e3 * torch.finfo(theta.dtype).eps)
    return max(found)


@torch.no_grad()
def _between(v: Potential, map: TransportMap, theta: Tensor, energy: float) -> float:
    """Difference of int V(T) p dz on many pieces of every cell to the energy of a flow, or what V hides on these.

    Where V'' >= lambda, V exceeds its chord over a length s by -lambda s^2/8 at most.
    """
    theta, base = theta.detach().double(), map.base
    knots = map.knots(theta).double().cpu()
    mesh = torch.cat([torch.tensor(base.panels()).to(knots), knots.clamp(base.lower, base.upper)]).unique()
    s, half = legendre(2, mesh.dtype, mesh.device)
    s = ((torch.arange(PIECES)[:, None] + s) / PIECES).reshape(-1)
    z = mesh[:-1, None] + mesh.diff()[:, None] * s
    w = (mesh.diff()[:, None] * half.repeat(PIECES) / PIECES * base.density(z)).reshape(-1)
    x = map.evaluate(theta, z.reshape(-1).to(theta.device))[0].double().cpu()
    gaps, masses = x.diff(), 0.5 * (w[1:] + w[:-1])
    hidden = max(-(v.convexity or 0.0), 0.0) / 8 * float(masses @ gaps**2)
    return max(abs(float(w @ v.value_at(x)) - energy), SHARE * hidden)
