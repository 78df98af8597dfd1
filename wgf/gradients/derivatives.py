"""Derivatives of energies along directions, by nested automatic differentiation of their `parts`.

A direction phi of maps is given at the nodes by its values and slopes [2, n].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wgf.problem.energy import MapAtNodes, Parts, Term
from wgf.problem.quadrature import Nodes


def first(terms: Sequence[Term], nodes: Nodes, maps: Tensor, v: Tensor) -> Tensor:
    """sum_k dF(v_k) at the maps [k, 2, n] in the directions v [k, 2, n], differentiable in the numbers of the terms."""
    total = maps.new_zeros(())
    for term, parts in ((term, term.parts()) for term in terms):
        if parts is None or parts.density is not None:
            at = _tracked(maps)
            total = total + (_grad(_local(term, parts, nodes, at), at) * v).sum()
        if parts is not None and parts.force is not None:
            for x, direction in zip(maps[:, 0], v[:, 0], strict=True):
                w, (rise, r) = _pairs(nodes.w, direction, x)
                total = total + (w * rise * parts.force(r)).sum()
        if parts is not None:
            total = total + parts.quadratic * _covariance(nodes.w, maps[:, 0], v[:, 0])
    return total


def second(terms: Sequence[Term], nodes: Nodes, maps: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """sum_ks d2F(v_ks, u_ks) at the maps [k, 2, n], differentiable in the maps and in the numbers of the terms.

    Args:
        terms, nodes: energies and quadrature.
        maps: values and slopes of the maps [k, 2, n].
        v, u: directions [k, s, 2, n].
    """
    total = maps.new_zeros(())
    for term, parts in ((term, term.parts()) for term in terms):
        if parts is None:
            for at, ours, theirs in zip(maps, v, u, strict=True):
                place = _tracked(at[None])
                gradient = _grad(_local(term, None, nodes, place), place)
                for a, b in zip(ours, theirs, strict=True):
                    total = total + (_grad((gradient * a).sum(), place) * b).sum()
            continue
        if parts.density is not None:
            at = _tracked(maps)
            gradient = _grad(_local(term, parts, nodes, at), at)
            bends = torch.stack([_grad(gradient[:, a].sum(), at) for a in range(2)])
            total = total + (torch.einsum("ksan,ksbn->akbn", v, u) * bends).sum()
        if parts.force is not None:
            for x, a, b in zip(maps[:, 0], v[:, :, 0], u[:, :, 0], strict=True):
                w, (r, *rises) = _pairs(nodes.w, x, *a, *b)
                r = _tracked(r)
                products = sum(p * q for p, q in zip(rises[: len(a)], rises[len(a) :], strict=True))
                total = total + (w * products * _grad(parts.force(r).sum(), r)).sum()
        total = total + parts.quadratic * _covariance(nodes.w, v[:, :, 0], u[:, :, 0])
    return total


def _local(term: Term, parts: Parts | None, nodes: Nodes, at: Tensor) -> Tensor:
    """Sum over maps [k, 2, n] of the energies per mass of a term; of the whole term if it has no parts."""
    if parts is None or parts.density is None:
        return sum((term.value(MapAtNodes(nodes, x, dx)) for x, dx in at), at.new_zeros(()))
    x, dx = at[:, 0].reshape(-1), at[:, 1].reshape(-1)
    log_p, rank, w = (t.expand(len(at), -1).reshape(-1) for t in (nodes.log_p, nodes.rank, nodes.w))
    return torch.dot(w, parts.density(x, dx, log_p, rank, w))


def _pairs(w: Tensor, *values: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Products of the weights, and differences of values [n], of all pairs of nodes that have a weight: the nodes of a
    cell without width have none, and lie in one place."""
    used = w.nonzero().squeeze(1)
    i, j = used[torch.triu_indices(len(used), len(used), 1, device=w.device)]
    return w[i] * w[j], [value[i] - value[j] for value in values]


def _covariance(w: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Sum of the covariances of v and u [..., n]."""
    return (v * u @ w - (v @ w) * (u @ w) / w.sum()).sum()


def _tracked(x: Tensor) -> Tensor:
    return x if x.requires_grad else x.detach().requires_grad_()


def _grad(value: Tensor, x: Tensor) -> Tensor:
    """Derivative of a value in x that can be differentiated again; zeros where the value does not depend on x."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    return torch.autograd.grad(value, x, create_graph=True, materialize_grads=True)[0]
