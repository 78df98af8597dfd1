"""Steps that amplify derivatives: wgf doubts what they bring back."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from gradient_problems import tensor

import wgf
from wgf.engine.compiled import Compiled
from wgf.gradients import growth

LAW = wgf.Formula("exp(-(x-0.024)**4/1.128 - x**2/2)")  # its tails hold hardly any mass
WELL = "0.951*x**3*exp(-x**2) + x**2/2"
TRUE = 0.02174  # derivative of the quantile in the exponent


def settings(bound: float, knots: str = "uniform") -> dict:
    network = wgf.Spline(32, 3, bound, knots, base=LAW)
    return {"potential": WELL, "law": LAW, "t_end": 0.5, "saves": 1, "network": network}


def slope(engine: str, bound: float, rtol: float = 1e-6, knots: str = "uniform") -> float:
    exponent = tensor(2.758)
    method = wgf.Rodas4(rtol, rtol / 100)
    flow = wgf.solve(wgf.PorousMedium(exponent, 0.476), engine=engine, integrator=method, **settings(bound, knots))
    return float(torch.autograd.grad(flow.differentiable().quantile(0.3), exponent)[0])


def test_the_true_derivative_by_differences():
    def quantile(exponent: float) -> float:
        method = wgf.Rodas4(1e-9, 1e-11)
        return wgf.solve(wgf.PorousMedium(exponent, 0.476), integrator=method, **settings(2.5)).quantile(0.5, 0.3)

    assert (quantile(2.768) - quantile(2.748)) / 0.02 == pytest.approx(TRUE, rel=2e-3)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize(("bound", "knots"), [(2.5, "uniform"), (4.0, "quantile")])
def test_breakpoints_where_there_is_mass_bring_no_doubt(engine: str, bound: float, knots: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert slope(engine, bound, knots=knots) == pytest.approx(TRUE, rel=0.02)


@pytest.mark.parametrize("way", ["torch", "compiled"])
def test_cells_without_mass_bring_a_doubt(way: str, monkeypatch: pytest.MonkeyPatch):
    if way == "torch":
        monkeypatch.delattr(Compiled, "pull_back")
    with pytest.warns(wgf.Doubtful, match=r"multiplies derivatives by [\d.e+]+, so they may be false"):
        slope("compiled", 4.0)


@pytest.mark.parametrize("way", ["torch", "compiled"])
def test_an_ensemble_sees_the_largest_factor_of_its_flows(way: str, monkeypatch: pytest.MonkeyPatch):
    seen: list[float] = []
    monkeypatch.setattr(growth, "judge", seen.append)
    given = settings(4.0) | {"t_end": 0.1, "integrator": wgf.Rodas4(1e-6, 1e-8)}
    exponents = tensor([2.758, 2.759])
    flows = wgf.ensemble(wgf.PorousMedium(2.7, 0.476), {"exponent": exponents}, **given)
    if way == "torch":
        flows = replace(flows, history=replace(flows.history, back=None))
    torch.autograd.grad(flows.differentiable().quantile(0.3).sum(), exponents)
    for number in exponents.tolist():
        exponent = tensor(number)
        flow = wgf.solve(wgf.PorousMedium(exponent, 0.476), **given)
        torch.autograd.grad(flow.differentiable().quantile(0.3), exponent)
    assert seen[0] == pytest.approx(max(seen[1:]), rel=1e-6)
    assert 0.9 < seen[0] < 1.1


@pytest.mark.parametrize("way", ["torch", "compiled"])
def test_cells_without_mass_bring_a_doubt_about_an_ensemble(way: str):
    exponents = tensor([2.0, 2.758])
    flows = wgf.ensemble(wgf.PorousMedium(2.7, 0.476), {"exponent": exponents}, **settings(4.0))
    if way == "torch":
        flows = replace(flows, history=replace(flows.history, back=None))
    with pytest.warns(wgf.Doubtful, match=r"multiplies derivatives by [\d.e+]+, so they may be false"):
        torch.autograd.grad(flows.differentiable().quantile(0.3).sum(), exponents)


def test_factor_of_a_step():
    before, after = torch.tensor([6.0, 1.0, 1e-9, 0.0]), torch.tensor([2.0, 2.0, 1e-12, 0.0])
    assert growth.factor(before, after, torch.tensor(1.0)) == 3.0  # what is tiny does not count
    assert growth.factor(before[:0], after[:0], torch.tensor(1.0)) == 0.0
    for bad in (torch.tensor([6.0, math.nan]), torch.tensor([6.0, math.inf])):
        with pytest.warns(wgf.Doubtful):
            growth.judge(float(growth.factor(bad, torch.tensor([2.0, 2.0]), torch.tensor(1.0))))
