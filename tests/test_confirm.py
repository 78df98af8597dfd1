"""Runs that confirm themselves: network.width=auto."""

from dataclasses import replace
from pathlib import Path

import pytest
from short_runs import BARE, config

import wgf
from wgf.networks.spline import Spline
from wgf.run.runner import build, run
from wgf.run.self_check import doubts

LAW = wgf.Gaussian(-1.0, 0.3)
SETTINGS = {"potential": "x**4/4 - x**2/2", "law": LAW, "t_end": 0.3, "saves": 2}
WORDS = "network.width=auto network.tol=1e-3 law.mean=-1 law.std=0.3 pde.diffusion=0.5 potential.center=0 t_end=0.3"


def test_two_runs_that_agree_confirm_each_other():
    flow = wgf.solve(wgf.FokkerPlanck(0.5), network=Spline("auto", tol=1e-3, base=LAW), **SETTINGS)
    found = flow.saved.map.adaptation
    assert found.tol == pytest.approx(2e-4)
    assert found.unconfirmed is None
    assert 0 < found.gap < 1e-3 * 0.3
    assert flow.w2(flow.reference_solution) < 1e-3 * 0.3
    coarse = wgf.solve(wgf.FokkerPlanck(0.5), network=Spline(knots="adaptive", tol=1e-3, base=LAW), **SETTINGS)
    assert found.gap == pytest.approx(max(flow.w2(coarse, t) for t in flow.t), rel=1e-6)


def test_it_says_when_no_run_confirms():
    flow = wgf.solve(wgf.FokkerPlanck(0.5), network=Spline("auto", tol=1e-7, base=LAW), **{**SETTINGS, "t_end": 0.01})
    assert flow.saved.map.adaptation.gap is not None
    folding = wgf.Uniform(-1.0, 1.0)
    with pytest.warns(wgf.Incomplete):
        flow = wgf.solve(
            wgf.LinearTransport(), law=folding, network=Spline("auto", 1, base=folding, tol=1e-3), t_end=1.0,
            potential="30*max(x - 0.1, 0)", saves=1, integrator=wgf.Euler(dt=0.5),
        )  # fmt: skip
    assert flow.saved.map.adaptation.gap is None
    assert "ended as folded" in flow.saved.map.adaptation.unconfirmed


def test_a_run_of_the_command_reports_it(tmp_path: Path):
    cfg = config(*BARE, *WORDS.split())
    result = run(build(cfg), cfg, tmp_path / "whole")
    assert result.confirmed_w2 < 1e-3 * 0.3
    assert result.unconfirmed is None
    assert result.mesh_tolerance == pytest.approx(2e-4 * 0.3)
    flow = wgf.load(tmp_path / "whole")
    assert flow.saved.map.adaptation.gap == result.confirmed_w2
    assert "confirms" not in (doubts(result, None) or "")
    assert "no run with a smaller tolerance confirms this one: why" in doubts(replace(result, unconfirmed="why"), None)
