"""What the kernel works on: a chart, an energy and a method as arrays, and the arrays of one flow.

A vector of coordinates has TAPS zeros at its end, and a band holds A[j + r, j] in row j, column r < TAPS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wgf.engine.machine_code import compiled
from wgf.engine.program import BLOCK, EVERY, NODAL, Program, execute, prepare

TAPS = 6  # columns of a band, enough for degree 5: loops over them have a known length
GRADIENT, NEW, PULL, SLOPE, IMAGE, SPEED, WOODBURY, START, STAGES = range(9)  # rows of the vectors
VECTORS, NODES = 14, 4  # numbers of rows
# numba makes a copy of a function for each int that it is called with, but one for all numbers of numpy
NONE, ONE = np.array([0, 1])


class Mesh(NamedTuple):
    """A chart at its quadrature nodes, Q nodes in each of C cells. The node q of cell c has the number q C + c: loops
    over the cells run along memory.

    Attributes:
        taps: K = k + 1.
        cells: first basis function of each cell, and the column of each cell in the tables [2, C]. The cells that a
            program treats at once have neighbouring columns.
        tables: basis functions and their slopes [2, Q, K, columns].
        nodes: weights, log densities and 2 P - 1 at the nodes [3, Q C].
        bands: mass matrix and its factorisation [2, M + TAPS, TAPS].
        mean: integrals of the basis functions [M + TAPS].
        held: whether the first and the last coordinate are positions of walls [2].
    """

    taps: int
    cells: np.ndarray
    tables: np.ndarray
    nodes: np.ndarray
    bands: np.ndarray
    mean: np.ndarray
    held: np.ndarray

    @property
    def size(self) -> int:
        """Number of coordinates M."""
        return len(self.mean) - TAPS


class Energy(NamedTuple):
    """The energy of a problem.

    Attributes:
        local: program of the pointwise energies; inputs f, f', log p, 2 P - 1 and w.
        pair: program of the kernel W(r) and of its force, input r; None for a local energy. Code for a local energy
            is compiled without what only pairs need.
        interacts: whether there are pairs.
        term: index of the interaction among the terms.
        quadratic: coefficient s of a kernel s x^2/2.
        size: number of terms.
    """

    local: Program
    pair: Program | None
    interacts: bool
    term: int
    quadratic: float
    size: int


class Method(NamedTuple):
    """Tableau [2, 6, 6], weights of the dissipation [6] and tolerances of the Rosenbrock method.

    Weights of 0 save the dissipation, which then stays 0.
    """

    tableau: np.ndarray
    weights: np.ndarray
    gamma: float
    rtol: float
    atol: float
    dt_min: float
    max_steps: int


class Work(NamedTuple):
    """Arrays of one flow: registers of both programs, numbers of each cell, band, dense matrix, products of the basis
    with the pairs [M, n], vectors [14, M + TAPS], nodes [4, n], terms.

    The nodes hold f, f', force and bend of an interaction.
    """

    registers: np.ndarray
    pairs: np.ndarray
    local: np.ndarray
    band: np.ndarray
    dense: np.ndarray
    cross: np.ndarray
    vectors: np.ndarray
    nodes: np.ndarray
    terms: np.ndarray


@compiled
def clear(x):
    for i in range(len(x)):
        x[i] = 0.0


@compiled
def copy(x, y):
    for i in range(len(x)):
        y[i] = x[i]


@compiled
def total(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i]
    return s


def workspace(mesh: Mesh, energy: Energy) -> Work:
    """Arrays for flows with an energy on a mesh."""
    size, n, q = len(mesh.mean), mesh.nodes.shape[1], mesh.tables.shape[1]
    block, pair, dense, far = max(min(n, BLOCK), q), (0, 0), 0, 0
    if energy.pair is not None:
        pair = len(energy.pair.start), max(n, BLOCK) if energy.interacts else 1
        dense, far = mesh.size if energy.interacts or energy.quadratic < 0.0 else 0, n
    return Work(
        np.zeros((len(energy.local.start), block)),
        np.zeros(pair),
        np.zeros((max(mesh.taps, TAPS), block)),
        np.zeros((size, TAPS)),
        np.zeros((dense, dense)),
        np.zeros((dense, far)),
        np.zeros((VECTORS, size)),
        np.zeros((NODES, far)),
        np.zeros(energy.size),
    )


@compiled
def begin(mesh, energy, pair, parameters, work):
    """Fill the registers that do not depend on the map."""
    prepare(energy.local, parameters, work.registers)
    if pair is not None:
        prepare(pair, parameters, work.pairs)
    if mesh.nodes.shape[1] <= work.registers.shape[1]:
        nodal(mesh, energy, EVERY, NONE, mesh.cells.shape[1], work)


@compiled
def nodal(mesh, energy, part, low, high, work):
    """Fill the registers that depend on the nodes only, and that a part of the program reads, for the cells from `low`
    to `high`."""
    r, n, c, q, p = work.registers, high - low, mesh.cells.shape[1], mesh.tables.shape[1], energy.local
    for row in range(3):
        if row == 0 or p.reads[part, row - 1] or p.reads[NODAL, row - 1]:
            to, of = r[4 if row == 0 else 1 + row], mesh.nodes[row]
            for b in range(q):
                for i in range(n):
                    to[b * n + i] = of[b * c + low + i]
    execute(energy.local, NODAL, r, q * n)
