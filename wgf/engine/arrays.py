"""What the kernel works on: a chart, an energy and a method as arrays, and the arrays of one flow.

A vector of coordinates has WIDTH zeros at its end. A band holds A[j + r, j] in row j, column r < TAPS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wgf.engine.llvm.references import by_address
from wgf.engine.llvm.vectors import WIDTH, aligned, whole
from wgf.engine.machine_code import compiled
from wgf.engine.program import ALONE, BLOCK, EVERY, NODAL, Program, execute, prepare

TAPS = 6  # columns of a band, enough for degree 5: loops over them have a known length
GRADIENT, NEW, PULL, SLOPE, IMAGE, SPEED, WOODBURY, START, STAGES = range(9)  # rows of the vectors
VECTORS, NODES = 14, 4  # numbers of rows
# numba makes a copy of a function for each int that it is called with, but one for all numbers of numpy
NONE, ONE = np.array([0, 1])


@by_address
class Mesh(NamedTuple):
    """A chart at its quadrature nodes, Q nodes in each of C cells. The node q of cell c has the number q C + c: loops
    over the cells run along memory.

    The first cells have neighbouring basis functions, so that vectors of coordinates are read from memory as they are.
    Cells whose functions another cell already has, as in the tails, come last.

    Attributes:
        taps: K = k + 1.
        run: number of cells whose first functions are 0, 1, 2, ...
        cells: first basis function of each cell, and the column of each cell in the tables [2, C]. The cells that a
            program treats at once have neighbouring columns.
        tables: basis functions and their slopes [2, Q, TAPS, columns], zero from K on, with WIDTH more columns than
            cells need.
        nodes: weights, log densities and 2 P - 1 at the nodes [3, Q C].
        mass: mass matrix by diagonals, A[j + r, j] at [r, WIDTH + j], [TAPS, M + 2 WIDTH].
        factors: its factorisation, a band [M + WIDTH, TAPS].
        mean: means of the basis functions under the weights [M + WIDTH].
        weight: sum of the weights of the nodes.
        pivots: diagonal of the factorisation of the mass matrix [M + WIDTH].
        held: whether the first and the last coordinate are positions of walls [2].
    """

    taps: int
    run: int
    cells: np.ndarray
    tables: np.ndarray
    nodes: np.ndarray
    mass: np.ndarray
    factors: np.ndarray
    mean: np.ndarray
    weight: float
    pivots: np.ndarray
    held: np.ndarray

    @property
    def size(self) -> int:
        """Number of coordinates M."""
        return len(self.mean) - WIDTH


@by_address
class Energy(NamedTuple):
    """The energy of a problem.

    Attributes:
        local: program of the pointwise energies; inputs f, f', log p, 2 P - 1 and w.
        pair: program of the kernel W(r) and of its force, input r; None for a local energy. Code for a local energy
            is compiled without what only pairs need.
        interacts: whether there are pairs.
        logarithmic: whether their kernel is a multiple of log|r|.
        term: index of the interaction among the terms.
        quadratic: coefficient s of a kernel s x^2/2.
        size: number of terms.
    """

    local: Program
    pair: Program | None
    interacts: bool
    logarithmic: bool
    term: int
    quadratic: float
    size: int


@by_address
class Method(NamedTuple):
    """Tableau [2, 6, 6], weights of the dissipation [6] and tolerances of the Rosenbrock method.

    Weights of 0 save the dissipation, which then stays 0.
    """

    tableau: np.ndarray
    weights: np.ndarray
    gamma: float
    rtol: float
    atol: float
    max_steps: int


@by_address
class Work(NamedTuple):
    """Arrays of one flow.

    Attributes:
        registers: registers of the local program for the nodes of some cells, and a row of zeros: row -1 holds what is
            zero by definition.
        pairs: registers of the other program.
        local: numbers of these nodes [3, .], or coordinates of their cells [K, .].
        rows: numbers of these cells [TAPS, .]; WIDTH zeros precede and follow them.
        near: numbers of the basis functions of cells whose functions follow each other.
        band: a matrix, then its factors [M + WIDTH, TAPS].
        dense: a matrix that couples distant nodes, then its factors [M, .].
        cross: products of the basis with the pairs [M, n].
        vectors: see the numbers of the rows above [14, M + WIDTH].
        nodes: f, the weights, force and bend of an interaction, and zeros from n on [4, .].
        terms: energies.
    """

    registers: np.ndarray
    pairs: np.ndarray
    local: np.ndarray
    rows: np.ndarray
    near: np.ndarray
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


def sizes(mesh: Mesh, energy: Energy) -> tuple[int, ...]:
    """What the arrays of flows with an energy on a mesh depend on: numbers of coordinates, nodes, nodes per cell and
    taps; of the registers; of the nodes and coordinates that pairs couple; and of the terms."""
    q, k, n, m, pair, far, dense = mesh.tables.shape[1], mesh.taps, mesh.nodes.shape[1], mesh.size, 0, 0, 0
    if energy.pair is not None:
        pair, far = len(energy.pair.start), whole(n)
        dense = m if energy.interacts or energy.quadratic < 0.0 else 0
    return m, n, q, k, len(energy.local.start), pair, far if energy.interacts else 0, far, dense, energy.size


def workspace(mesh: Mesh, energy: Energy) -> Work:
    """Arrays for flows with an energy on a mesh."""
    m, n, q, k, local, pair, pairs, far, dense, terms = sizes(mesh, energy)
    block = q * min(whole(n // q), at_once(q))
    return Work(
        aligned(local + 1, block),
        aligned(pair, whole(max(pairs, BLOCK)) if pairs else WIDTH),
        aligned(max(k, 3), block),
        aligned(TAPS, block // q + 3 * WIDTH),
        aligned(block // q + 2 * WIDTH),
        aligned(m + WIDTH, TAPS),
        aligned(dense, whole(dense)),
        aligned(dense, far),
        aligned(VECTORS, m + WIDTH),
        aligned(NODES, far),
        aligned(terms),
    )


def at_once(order: int) -> int:
    """Cells of `order` nodes that a program treats at once."""
    return max(WIDTH, BLOCK // order // WIDTH * WIDTH)


@compiled
def padded(cells):
    """A number of cells rounded up to whole vectors."""
    return (cells + WIDTH - 1) & -WIDTH


@compiled
def begin(mesh, energy, pair, parameters, work):
    """Fill the registers that do not depend on the map."""
    prepare(energy.local, parameters, work.registers)
    if pair is not None:
        prepare(pair, parameters, work.pairs)
        for i in range(mesh.nodes.shape[1]):
            work.nodes[1, i] = mesh.nodes[0, i]
    if mesh.cells.shape[1] * mesh.tables.shape[1] <= work.registers.shape[1]:
        nodal(mesh, energy, EVERY, NONE, mesh.cells.shape[1], work)


@compiled
def nodal(mesh, energy, part, low, high, work):
    """Fill the registers that depend on the nodes only, and that a part of the program reads, for the cells from `low`
    to `high`. The cells that fill up the last vector have no weight."""
    r, c, q, p = work.registers, mesh.cells.shape[1], mesh.tables.shape[1], energy.local
    count, n = high - low, padded(high - low)
    for row in range(3):
        if row == 0 or p.reads[part, row - 1] or p.reads[NODAL, row - 1]:
            to, of = r[4 if row == 0 else 1 + row], mesh.nodes[row]
            for b in range(q):
                for i in range(count):
                    to[b * n + i] = of[b * c + low + i]
                for i in range(count, n):
                    to[b * n + i] = 0.0
    execute(energy.local, NODAL, r, q * n, ALONE)
