"""Error messages that no other test shows."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from composed_configs import changed, composed
from laws_and_terms import problem

import wgf
from wgf import flow as flows
from wgf.integrators.time_loop import Clock, End
from wgf.networks.mlp import MLP
from wgf.networks.relu import TwoSidedReLU
from wgf.problem.energy import Term
from wgf.problem.interaction import Interaction
from wgf.problem.laws import Gaussian, Mixture
from wgf.problem.quadrature import MonteCarlo
from wgf.projection.field import Projection
from wgf.projection.solvers import Auto
from wgf.reference_solutions.finite_volume_schemes import Pressure, split
from wgf.run.build import build
from wgf.settings.check import check


class WithKnots(MLP):
    """Not the paper's network, and yet with knots that move."""

    moving_knots = True


def test_knots_where_the_law_is_not():
    law = Mixture((-1.0, 1.0), (1e-3, 1e-3), (1.0, 1.0))
    with pytest.raises(
        wgf.ConfigError, match=r"^network\.bound=0\.01 with network\.width=2 leaves no mass between the"
    ):
        TwoSidedReLU(2, 0.01, base=law)


def test_particles_do_not_see_the_knots_of_a_network_of_ones_own():
    law = Gaussian()
    network = WithKnots(4, base=law, generator=torch.Generator().manual_seed(0))
    field = Projection(problem(law, wgf.Entropy(1.0)), network, MonteCarlo(100, seed=0), Auto())
    with pytest.raises(
        wgf.ConfigError, match=r"^quadrature=monte_carlo needs network=two_sided_relu or a network with"
    ):
        field.gradient(field.map.theta.detach())


def test_abstract_classes_are_no_choice():
    cfg = changed("solver._target_=wgf.projection.solvers.Solver")
    with pytest.raises(wgf.ConfigError, match=r"_target_=wgf\.projection\.solvers\.Solver is not allowed"):
        build(cfg)


def test_a_flow_that_cannot_be_followed_between_two_times(monkeypatch: pytest.MonkeyPatch):
    flow = wgf.solve(wgf.FokkerPlanck(), potential="x**2/2", t_end=0.1, saves=1, reference_solution="none")

    def fails(field, method, theta, stops, observer):
        return End(wgf.Status.folded, Clock(), None)

    monkeypatch.setattr(flows, "run", fails)
    with pytest.raises(wgf.WgfError, match=r"^the flow cannot be followed from t=0 to t=0\.05: a step made the map"):
        flow.density(0.05, 0.0)


class OwnTerm(Term):
    def value(self, at):
        return at.w.sum()

    def covector(self, at):
        return torch.zeros_like(at.x), torch.zeros_like(at.x)


class OwnInteraction(OwnTerm, Interaction):
    name = "own"


def test_energies_that_finite_volumes_cannot_take():
    with pytest.raises(NotImplementedError, match=r"is no kernel summed over pairs$"):
        split(OwnInteraction())
    with pytest.raises(NotImplementedError, match=r"is not local$"):
        Pressure(OwnTerm())


def test_a_module_that_does_not_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_module.py").write_text("class Broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(wgf.ConfigError, match=r"module 'broken_module' cannot be read: invalid syntax"):
        check(composed("++potential._target_=broken_module.Broken"))


def test_numbers_that_a_class_cannot_be_made_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Gaussian, "__init__", Mock(side_effect=OverflowError("math range error")))
    with pytest.raises(wgf.ConfigError, match=r"leads to numbers that cannot be computed with: math range error$"):
        build(composed("law.std=1.5"))
