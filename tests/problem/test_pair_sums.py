"""Hierarchical sums over pairs against all pairs."""

from copy import copy

import pytest
import torch
from torch import Tensor

from wgf.problem.energy import MapAtNodes
from wgf.problem.interaction import Log, Pairwise
from wgf.problem.kernels import PowerLaw
from wgf.problem.laws import Gaussian
from wgf.problem.pairs.sums import FEWEST, pair_sum
from wgf.problem.quadrature import Gauss

KERNELS = {
    "log": lambda r: torch.log(r.abs().masked_fill(r == 0, 1.0)),
    "inverse": lambda r: (1 / r).masked_fill(r == 0, 0.0),
    "power": lambda r: r.abs() ** 1.5,
}


def particles(kind: str, n: int) -> Tensor:
    x = torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    return {"normal": x, "heavy tails": x**5, "clusters": torch.where(x > 0, 1e-3 * x, 5 + x), "equal": x.round()}[kind]


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "clusters", "equal"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rtol", [1e-4, 1e-8, 1e-12])
def test_sums_are_those_over_all_pairs(kernel: str, kind: str, rtol: float):
    x, k = particles(kind, 500), KERNELS[kernel]
    w = torch.rand(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pairs = k(x[:, None] - x) * w
    assert (pair_sum(k, x, w, rtol) - pairs.sum(1)).abs().max() < rtol * pairs.abs().sum(1).max()


@pytest.mark.parametrize("fast", [Log(1.3), PowerLaw(3.5, 1.0), PowerLaw(2.5, 1.5, 0.7)], ids=str)
def test_energy_and_force_of_many_nodes(fast: Pairwise):
    nodes = Gauss().nodes(Gaussian(), torch.linspace(-4, 4, 200, dtype=torch.float64))
    assert len(nodes.z) >= FEWEST
    at = MapAtNodes(nodes, nodes.z + 0.3 * torch.sin(nodes.z), 1 + 0.3 * torch.cos(nodes.z))
    pairs = copy(fast)
    pairs.sum_rtol = 0.0
    assert float(fast.value(at)) == pytest.approx(float(pairs.value(at)), abs=1e-11)
    expected = pairs.covector(at)[0]
    assert (fast.covector(at)[0] - expected).abs().max() < 1e-11 * expected.abs().max()
