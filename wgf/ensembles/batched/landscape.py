"""Energy, gradient and Hessian of many flows on one mesh as tensors; the last dimension is that of the flows.

The formulas are those of `wgf.projection.chart_energy`. What is linear is a product with a dense matrix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wgf.engine.arrays import Energy, Mesh
from wgf.engine.llvm.vectors import WIDTH
from wgf.engine.program import BENDS, FIRST, SECOND, SLOPES, VALUE, VALUES
from wgf.ensembles.batched.factors import Banded, Dense, Factors
from wgf.ensembles.batched.operations import Operations


class Judged(NamedTuple):
    """Energies of maps.

    Attributes:
        energy, size: sum of the terms and of their sizes [B] (energy).
        variance: of the law [B] (length^2).
        slope: the smallest [B].
    """

    energy: Tensor
    size: Tensor
    variance: Tensor
    slope: Tensor


Known = tuple[list[Tensor], list[Tensor]]


class Landscape:
    """The energy of flows in the coordinates of a mesh.

    Args:
        mesh: M basis functions, K of them in each cell, at n nodes.
        energy: the energy.
        device: where the tensors are.
    """

    def __init__(self, mesh: Mesh, energy: Energy, device: torch.device) -> None:
        m, q, k, cells = mesh.size, mesh.tables.shape[1], mesh.taps, mesh.cells.shape[1]
        n = q * cells
        basis = np.zeros((2, q, cells, m + k))
        for j in range(k):
            basis[:, :, np.arange(cells), mesh.cells[0] + j] = mesh.tables[:, :, j, mesh.cells[1]]
        basis = basis.reshape(2, n, m + k)
        w = mesh.nodes[0]
        neighbours = np.stack([basis[:, :, r : r + m] for r in range(k)])  # [K, 2, n, M]
        value, slope = basis[:, :, :m]
        value_by, slope_by = neighbours[:, 0], neighbours[:, 1]
        pairs = [value * value_by, value * slope_by + slope * value_by, slope * slope_by]

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.basis = tensor(basis[:, :, :m].reshape(2 * n, m))
        self.loads = tensor(w * basis[:, :, :m].transpose(0, 2, 1))
        self.products = tensor(np.stack([(w[:, None] * p).transpose(2, 0, 1).reshape(m * k, n) for p in pairs]))
        mass = mesh.mass[:k, WIDTH : WIDTH + m].T
        whole = np.zeros((m, m + k))
        for r in range(k):
            whole[np.arange(m), np.arange(m) + r] = mass[:, r]
        self.band, self.mass = tensor(mass), tensor(whole[:, :m] + np.triu(whole[:, :m], 1).T)
        self.mean, self.w, self.weight = tensor(mesh.mean[:m]), tensor(w), mesh.weight
        self.nodes = tensor(mesh.nodes[:, :, None])
        self.energy, self.size, self.taps = energy, m, k
        self.local = Operations(energy.local, device)
        self.pair = Operations(energy.pair, device) if energy.pair else None
        self.owners = energy.local.layout[VALUES:].tolist()[(len(energy.local.layout) - VALUES) // 2 :]

    def entries(self) -> int:
        """Numbers that a flow needs at once, about."""
        n = len(self.w)
        pairs = n * n * len(pair.start) if (pair := self.energy.pair) and self.energy.interacts else 0
        return n * len(self.energy.local.start) + pairs + 4 * self.size**2

    def known(self, parameters: Tensor) -> Known:
        """Registers that do not depend on the maps; parameters: [p, B]."""
        w, log_p, rank = self.nodes
        return self.local.known(parameters, log_p, rank, w), self.pair.known(parameters) if self.pair else []

    def at_nodes(self, c: Tensor) -> list[Tensor]:
        """f and f' [n, B] of the coordinates c [M, B]."""
        return list((self.basis @ c).view(2, -1, c.shape[1]))

    def judge(self, at: list[Tensor], known: Known) -> Judged:
        """Energies of maps."""
        x, dx = at
        variance = self.w @ self._centred(x) ** 2
        values = self.local.results(int(VALUE), known[0], at, VALUES, len(self.owners))
        terms = [torch.zeros_like(variance) for _ in range(self.energy.size)]
        for owner, value in zip(self.owners, values, strict=True):
            terms[owner] = terms[owner] + (0.0 if value is None else self.w @ value)
        if self.energy.quadratic != 0.0:
            terms[self.energy.term] = terms[self.energy.term] + 0.5 * self.energy.quadratic * variance
        if self.energy.interacts:
            assert self.pair is not None
            value = self.pair.results(int(VALUE), known[1], [x[:, None] - x], VALUES, 1)[0]
            assert value is not None
            terms[self.energy.term] = terms[self.energy.term] + 0.5 * (self.w @ self._over_pairs(value))
        stacked = torch.stack(terms)
        return Judged(stacked.sum(0), stacked.abs().sum(0), variance, dx.amin(0))

    def gradient(self, at: list[Tensor], known: Known) -> Tensor:
        """Derivative of the energies in the coordinates [M, B]."""
        x = at[0]
        force, stress = self.local.results(int(FIRST), known[0], at, SLOPES, 2)
        if self.energy.quadratic != 0.0:
            force = _sum(force, self.energy.quadratic * self._centred(x))
        if self.energy.interacts:
            pull = self._apart(int(FIRST), SLOPES, x, known)
            assert pull is not None
            force = _sum(force, -self._over_pairs(pull))  # W' is odd
        gradient = x.new_zeros(self.size, x.shape[1])
        for loads, part in zip(self.loads, (force, stress), strict=True):
            gradient = gradient if part is None else torch.addmm(gradient, loads, part)
        return gradient

    def factors(self, at: list[Tensor], known: Known, shift: Tensor) -> Factors:
        """Factorisation of shift [B] times the mass matrix plus the Hessian."""
        x, energy = at[0], self.energy
        bends = self.local.results(int(SECOND), known[0], at, BENDS, 3)
        dense = None
        if energy.quadratic != 0.0:
            bends[0] = _sum(bends[0], torch.full_like(x, energy.quadratic))
            dense = (-energy.quadratic * self.weight * torch.outer(self.mean, self.mean))[:, :, None]
        if energy.interacts and (bend := self._apart(int(SECOND), BENDS, x, known)) is not None:
            bends[0] = _sum(bends[0], self._over_pairs(bend))
            loads = self.loads[0]
            half = (loads @ bend.reshape(len(x), -1)).view(self.size, *x.shape)
            dense = _sum(dense, -(loads @ half))
        band = (shift * self.band.reshape(-1, 1)).contiguous()
        for products, part in zip(self.products, bends, strict=True):
            band = band if part is None else torch.addmm(band, products, part)
        band = band.view(self.size, self.taps, -1)
        if dense is None:
            return Banded(band)
        matrix = x.new_zeros(self.size, self.size, x.shape[1])
        for r in range(min(self.taps, self.size)):  # a Cholesky factorisation reads the lower half
            matrix.diagonal(-r).copy_(band[: self.size - r, r].T)
        return Dense(matrix + dense)

    def _apart(self, part: int, place: int, x: Tensor, known: Known) -> Tensor | None:
        """A result of the program of pairs at all differences x_i - x_j [n, n, B], zero where x_i = x_j."""
        assert self.pair is not None
        r = x[:, None] - x
        same = r == 0
        if r.requires_grad:
            r = r.masked_fill(same, 1.0)  # where its derivative could be infinite
        value = self.pair.results(part, known[1], [r], place, 1)[0]
        return None if value is None else value.masked_fill(same, 0.0)

    def _centred(self, x: Tensor) -> Tensor:
        """Positions minus their mean [n, B]."""
        return x - self.w @ x / self.weight

    def _over_pairs(self, value: Tensor) -> Tensor:
        """sum_i w_i value_ij [n, B]."""
        return (self.w @ value.reshape(len(value), -1)).view(value.shape[1:])


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b
