"""Derivative of the energy in the weights and biases of ReLU neurons, by cumulative sums over the cells.

For f = sum_i a_i (z - b_i)_+ the derivative dF(phi) = sum_q force phi + stress phi' of the energy gives, with sums over
the nodes right of the knot b_i,

    dF/da_i = sum_q force (z - b_i) + stress,   dF/db_i = -a_i sum_q force + p(b_i) [e(b_i-) - e(b_i+)],

and similar sums over the nodes left of the knot for a neuron that faces left. The energy per mass e of a local term
jumps at a knot. Nodes that move with the knots would also change the sums over nodes. That change vanishes with the
quadrature error for local terms; for interactions it is an artefact. Force and stress do not contain it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wgf.networks.base import Neurons
from wgf.problem.energy import MapAtNodes, Term, covector, jumps

Cells = tuple[Tensor, Tensor, Tensor]


def derivative(terms: Sequence[Term], at: MapAtNodes, neurons: Neurons, cells: Cells) -> tuple[Tensor, Tensor]:
    """dF/da and dF/db [k] of a map that is a sum of k neurons and a fixed linear function.

    Args:
        terms: terms of F.
        at: the map at the nodes.
        neurons: a and b.
        cells: sorted knots [k] and, on the cells between them, slope and intercept of f [k + 1].
    """
    knots, slope, intercept = cells
    order, centre = neurons.biases.argsort(stable=True), at.nodes.base.mean
    force, stress = covector(terms, at)
    cell = torch.searchsorted(knots, at.nodes.z, right=True) if at.nodes.cell is None else at.nodes.cell
    moments = torch.stack([force, force * (at.nodes.z - centre) + stress])
    sums = moments.new_zeros(2, len(slope)).index_add(1, cell, moments)
    left, right = sums.cumsum(1)[:, :-1], sums.flip(1).cumsum(1).flip(1)[:, 1:]  # of every knot [2, k]
    faces_left, a, b = neurons.faces_left[order], neurons.weights[order], knots - centre
    by_weights = torch.where(faces_left, b * left[0] - left[1], right[1] - b * right[0])
    by_biases = a * torch.where(faces_left, left[0], -right[0])
    by_biases = by_biases + jumps(terms, at.nodes.base, knots, slope[1:] * knots + intercept[1:], slope)
    both = torch.stack([by_weights, by_biases])
    first, second = torch.empty_like(both).index_copy(1, order, both)
    return first, second
