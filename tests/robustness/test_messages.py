"""Error messages that no other test shows."""

from pathlib import Path

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
from wgf.reference_solutions.finite_volume_schemes import Pressure
from wgf.run.build import build
from wgf.settings.check import check


class WithKnots(MLP):
    """Not the paper's network, and yet with knots that move."""

    moving_knots = True


def test_knots_where_the_law_is_not():
    with pytest.raises(
        wgf.ConfigError, match=r"^network\.bound=0\.01 with network\.width=2 leaves no mass between the"
    ):
        TwoSidedReLU(2, 0.01, base=Mixture((-1.0, 1.0), (1e-3, 1e-3), (1.0, 1.0)))


def test_particles_do_not_see_the_knots_of_a_network_of_ones_own():
    law = Gaussian()
    field = Projection(
        problem(law, wgf.Entropy(1.0)),
        WithKnots(4, law=law, generator=torch.Generator().manual_seed(0)),
        MonteCarlo(100, seed=0),
        Auto(),
    )
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
        return End(wgf.Status.folded, Clock(), flow.end.state)

    monkeypatch.setattr(flows, "run", fails)
    with pytest.raises(wgf.WgfError, match=r"^the integration from t=0 to t=0\.05 failed: a step made the map"):
        flow.density(0.05, 0.0)


def test_energies_that_finite_volumes_cannot_take():
    class Elsewhere(Interaction):
        name = "elsewhere"

        def value(self, at):
            return at.w.sum()

        def covector(self, at):
            return torch.zeros_like(at.x), torch.zeros_like(at.x)

    class Global(Term):
        name = "global"

        def value(self, at):
            return at.w.sum()

        def covector(self, at):
            return torch.zeros_like(at.x), torch.zeros_like(at.x)

    with pytest.raises(NotImplementedError, match=r"is not a kernel summed over pairs$"):
        Elsewhere().split()
    with pytest.raises(NotImplementedError, match=r"is not local$"):
        Pressure(Global())


def test_a_module_that_does_not_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken_module.py").write_text("class Broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(wgf.ConfigError, match=r"module 'broken_module' cannot be read: invalid syntax"):
        check(composed("++potential._target_=broken_module.Broken"))


def test_numbers_that_a_class_cannot_be_made_of(monkeypatch: pytest.MonkeyPatch):
    def overflows(self, *args, **kwargs):
        raise OverflowError("math range error")

    monkeypatch.setattr(Gaussian, "__init__", overflows)
    with pytest.raises(wgf.ConfigError, match=r"causes an arithmetic error \(math range error\): change"):
        build(composed("law.std=1.5"))
