"""Error messages that no other test shows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from composed_configs import changed, composed
from laws_and_terms import problem
from refusals import refusal
from written_files import write

import wgf
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.problem.energy import Term
from wgf.problem.interaction import Interaction
from wgf.problem.laws import Gaussian, Mixture
from wgf.problem.quadrature import MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.finite_volumes.pressure import Pressure
from wgf.run.build import build
from wgf.settings.check import check


def test_knots_where_the_law_is_not():
    (line,) = refusal(TwoSidedReLU, 2, 0.01, base=Mixture((-1.0, 1.0), (1e-3, 1e-3), (1.0, 1.0)))
    assert line.startswith("network.bound=0.01 with network.width=2 leaves no mass between the")


class WithKnots(MLP):
    """Not the paper's network, and yet with knots that move."""

    moving_knots = True


def test_particles_do_not_see_the_knots_of_a_network_of_ones_own():
    law = Gaussian()
    map = WithKnots(4, base=law, generator=torch.Generator().manual_seed(0))
    parts = problem(law, wgf.Entropy(1.0)), map, MonteCarlo(100, seed=0), Auto()
    (line,) = refusal(Projection, *parts)
    assert line.startswith("quadrature=monte_carlo needs a ReLU network")


def test_a_flow_that_cannot_be_followed_between_two_times(monkeypatch: pytest.MonkeyPatch):
    flow = wgf.solve(wgf.FokkerPlanck(), potential="x**2/2", t_end=0.1, saves=1, reference_solution="none")
    monkeypatch.setattr("wgf.flow.run", lambda *_: SimpleNamespace(status=wgf.Status.folded))
    with pytest.raises(wgf.WgfError, match=r"^the integration from t=0 to t=0\.05 failed: a step made the map"):
        flow.density(0.05, 0.0)


class Total:
    """The mass, as an energy."""

    name = "total"

    def value(self, at):
        return at.w.sum()

    def covector(self, at):
        return torch.zeros_like(at.x), torch.zeros_like(at.x)


def test_energies_that_finite_volumes_cannot_take():
    with pytest.raises(NotImplementedError, match=r"is not a kernel summed over pairs$"):
        type("Elsewhere", (Total, Interaction), {})().split()
    with pytest.raises(NotImplementedError, match=r"is not local$"):
        Pressure(type("Global", (Total, Term), {})())


def test_classes_that_nothing_can_be_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (line,) = refusal(build, changed("solver._target_=wgf.projection.solvers.Solver"))  # abstract
    assert "_target_=wgf.projection.solvers.Solver is not allowed" in line
    monkeypatch.syspath_prepend(write(tmp_path, {"broken_module.py": "class Broken(:\n"}))
    (line,) = refusal(check, composed("++potential._target_=broken_module.Broken"))
    assert "module 'broken_module' cannot be read: invalid syntax" in line


def test_numbers_that_a_class_cannot_be_made_of(monkeypatch: pytest.MonkeyPatch):
    def overflows(self, *args, **kwargs):
        raise OverflowError("math range error")

    monkeypatch.setattr(Gaussian, "__init__", overflows)
    (line,) = refusal(build, composed("law.std=1.5"))
    assert "causes an arithmetic error (math range error)" in line
