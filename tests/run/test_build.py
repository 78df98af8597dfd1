"""Combinations of settings that are refused when the parts are put together."""

from unittest.mock import Mock

import pytest
from composed_configs import composed
from refusals import refusal

from wgf.run.build import build
from wgf.settings.check import check


def faults(overrides: str) -> list[str]:
    """The lines that answer a config which is fine setting by setting."""
    cfg = composed(*overrides.split())
    check(cfg)
    return refusal(build, cfg)


REFUSED = {
    # impossible pairs
    "interaction=log": "interaction=log|x| with pde=FokkerPlanck",
    "interaction=morse pde=keller_segel": "only pde=aggregation_diffusion takes an interaction",
    "network=mlp integrator=dopri5 solver=banded": "solver=banded has closed forms only for network=spline",
    "network=two_sided_relu network.train=all integrator=dopri5 solver=banded": "solver=banded has closed forms only",
    "network=mlp integrator=rodas4": "integrator=rodas4 needs a map that is linear in its parameters",
    "network=two_sided_relu network.train=biases integrator=sdirk2": "integrator=sdirk2 needs a map that is linear",
    "solver=qr integrator=sdirk2": "integrator=sdirk2 needs a map that is linear in its parameters, and solver=auto",
    "law=uniform law.low=1": "law.low=1.0 is not allowed: expected a number below",
    "law=uniform law.high=-3": "high=-3",
    "law=mixture law.means=[0,1,2]": "have 3, 2 and 2 entries",
    "pde=aggregation_diffusion interaction=power_law interaction.attraction=2": "above interaction.repul",
    "potential=expression potential.expr='y**2'": "the name 'y' is not allowed",
    "potential=expression potential.expr='x**'": "is not a formula",
    "record=end": "record=end is impossible with figures=true or observe: say figures=false without observe, or",
    "record=end figures=false observe=[x]": "record=end is impossible with figures=true or observe: say figures=false",
    # steps and nodes that cannot be
    "integrator=jko t_end=1e-3": "integrator.dt=0.01 with t_end=0.001 is impossible: a step cannot",
    "integrator.dt=1": "integrator.dt=1 with t_end=0.2 is impossible: a step cannot be longer than the run",
    "integrator.dt_min=1": "integrator.dt_min=1 with t_end=0.2 is impossible: decrease integrator.dt_min",
    "integrator.dt_min=1e-3 integrator.dt=1e-4": "integrator.dt_min=0.001 with integrator.dt=0.0001 is",
    "integrator=rk4 t_end=1e9": "1e+12 steps are more than integrator.max_steps=1e+06; increase integrator.dt",
    "quadrature.order=3": "quadrature.order=3 is impossible: this network needs at least 4 nodes in a cell, use "
    "quadrature.order=4",
    # a default beside what is given
    "law=uniform ~law.low law.high=-2": "low=-1.0 is not allowed: expected a number below high=-2",
    # sizes that do not fit a memory of 16 GB
    "network.width=1e10": "1e+10 parameters and 8e+10 nodes needs about 1e+05 GB of memory, this machine has 16 GB: "
    "decrease net",
    "network=mlp network.width=60000 integrator=jko": "180002 parameters and 112 nodes needs",
    "network=two_sided_relu network.width=20000 solver=qr integrator=dopri5": "40000 parameters and 320112 nodes needs",
    "quadrature=monte_carlo quadrature.particles=1e12 integrator=dopri5": "GB: decrease quadrature.par",
    "saves=1e7": "saves=1e+07 needs about 9.6e+02 GB of memory, this machine has 16 GB: decrease saves",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_cannot_be_together(overrides: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wgf.run.memory.machine", lambda: 16e9)
    (line,) = faults(overrides)
    assert REFUSED[overrides] in line


def test_faults_of_two_parts_are_two_lines():
    assert len(faults("law=uniform law.low=1 potential=expression potential.expr='x**'")) == 2


@pytest.mark.parametrize("overrides", ["network.width=1000000", "network=mlp network.width=100 integrator=jko"])
def test_sizes_that_have_been_run_are_let_through(overrides: str, monkeypatch: pytest.MonkeyPatch):
    """docs/benchmarks.md: a million breakpoints in 9.3 GB."""
    monkeypatch.setattr("wgf.run.memory.machine", lambda: 16e9)
    monkeypatch.setattr("wgf.run.build.assemble", Mock(side_effect=KeyError("admitted")))
    with pytest.raises(KeyError, match="admitted"):
        build(composed(*overrides.split()))


FINE = {
    "fixed steps that stop early": "integrator=euler integrator.max_steps=10",
    "many fixed steps": "integrator=euler integrator.dt=1e-8 integrator.max_steps=1e8",
    "the default of a law": "law=uniform ~law.low",
    "the default of an integrator": "integrator=euler ~integrator.dt",
}


@pytest.mark.parametrize("case", FINE)
def test_what_is_built(case: str):
    build(composed(*FINE[case].split()))
