"""Means of functions over a solution, and runs that stop in a steady state."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from short_runs import BARE, config, run_config

import wgf
from wgf.errors import ConfigError
from wgf.settings.formulas.expression import observables


@pytest.fixture(scope="module")
def ornstein() -> wgf.Flow:
    return wgf.solve(wgf.FokkerPlanck(0.5), potential="x**2/2", law=wgf.Gaussian(1.0, 0.3), t_end=1.0, saves=2)


def test_means_of_a_normal_law(ornstein: wgf.Flow):
    mean, variance = math.exp(-1.0), 0.09 * math.exp(-2.0) + 0.5 * (1 - math.exp(-2.0))
    std = math.sqrt(variance)
    right = 0.5 * math.erfc(-mean / std / math.sqrt(2))
    assert ornstein.expectation(1.0, "x") == pytest.approx(mean, abs=1e-6)
    assert ornstein.expectation(1.0, "where(x > 0, 1, 0)") == pytest.approx(right, abs=1e-6)
    assert ornstein.expectation(1.0, "where(x > 0, 1, 0)") == pytest.approx(1 - ornstein.cdf(1.0, 0.0), abs=1e-9)
    assert ornstein.expectation(1.0, torch.cos) == pytest.approx(math.cos(mean) * math.exp(-variance / 2), abs=1e-6)
    absolute = std * math.sqrt(2 / math.pi) * math.exp(-((mean / std) ** 2) / 2) + mean * math.erf(mean / std / 2**0.5)
    assert ornstein.expectation(1.0, "abs(x)") == pytest.approx(absolute, abs=1e-6)


def test_a_function_may_return_numbers_and_arrays(ornstein: wgf.Flow):
    assert ornstein.expectation(1.0, lambda x: 1.5) == pytest.approx(1.5, rel=1e-12)
    assert ornstein.expectation(1.0, lambda x: x.numpy() ** 2) == ornstein.expectation(1.0, lambda x: x**2)
    positive = ornstein.expectation(1.0, lambda x: x.numpy() > 0)
    assert positive == ornstein.expectation(1.0, lambda x: x > 0) == pytest.approx(1 - ornstein.cdf(1.0, 0.0), abs=1e-9)
    for wrong, what in (
        (lambda x: None, "NoneType"),
        (lambda x: "x", "str"),
        (lambda x: x[None], r"Tensor of shape \[1, "),
        (lambda x: 1j * x, "Tensor of shape"),
    ):
        with pytest.raises(ConfigError, match=f"^function returns a {what}.*: expected a tensor of one real number"):
            ornstein.expectation(1.0, wrong)


@pytest.mark.parametrize("centre", [0.0, 1e4])
def test_means_of_functions_with_jumps_and_peaks(centre: float):
    """Nodes see none of the narrow parts, and a jump in the middle of a cell changes nothing when this is halved."""
    law, at = wgf.Gaussian(centre, 1.0), f"(x-{centre:.0f})"
    flow = wgf.solve(wgf.LinearTransport(), potential="0*x", law=law, t_end=1.0, saves=1)
    peak = quad(lambda u: math.exp(-u * u) * norm.pdf(0.3 + 1e-4 * u), -9, 9, epsabs=1e-14)[0]
    waves = math.pi * np.arange(-40, 40)
    for text, right in (
        (f"where({at} > 0.1325, 1, 0)", norm.sf(0.1325)),
        (f"where(abs({at}-0.3) < 1e-3, 1e3, 0)", 1e3 * (norm.cdf(0.301) - norm.cdf(0.299))),
        (f"where(abs(tanh({at})-0.3) < 1e-5, 1e5, 0)", 2 * norm.pdf(math.atanh(0.3)) / (1 - 0.3**2)),
        (f"exp(-(({at}-0.3)/1e-4)^2)*1e4", peak),
        (
            f"sign(sin(4*{at}))*(1+sign({at}))",
            2 * (norm.cdf((waves[40:] + math.pi) / 4) - norm.cdf(waves[40:] / 4)) @ (-1.0) ** np.arange(40),
        ),
        (f"max(abs({at})-1, 0)", 2 * (norm.pdf(1) - norm.sf(1))),
    ):
        assert flow.expectation(1.0, text) == pytest.approx(right, abs=1e-10 * max(10.0, centre)), text
    for jump in np.linspace(-2, 2, 41) + 0.0025:  # somewhere in the middle of a cell
        found = flow.expectation(1.0, lambda x, jump=jump: (x > centre + jump).double())
        assert found == pytest.approx(norm.sf(jump), abs=1e-9)


def test_a_mean_of_what_is_not_finite_is_none(ornstein: wgf.Flow):
    assert math.isnan(ornstein.expectation(1.0, "sqrt(x)"))
    assert ornstein.expectation(1.0, "log(abs(x))") == pytest.approx(ornstein.expectation(1.0, "log(x**2)/2"), abs=1e-8)


def test_observables_have_names():
    assert [*observables(["x^2", "right=where(x>=0, 1, 0)", "max(x, 0)"])] == [
        "observed_x^2",
        "observed_right",
        "observed_max(x;0)",
    ]
    for bad, why in ((["y"], "the name 'y'"), (["a=x", "a=x**2"], "the name a"), ("x", "expected a list")):
        with pytest.raises(ConfigError, match=why):
            observables(bad)


def test_a_run_records_observables_and_stops_when_it_is_steady(tmp_path: Path):
    words = ["potential=quadratic", "law.mean=1", "t_end=40", "saves=20", "stop=steady", "steady=1e-4"]
    cfg = config(*BARE, *words, 'observe=["right=where(x > 0, 1, 0)","x**2"]', "saves=20", "network.width=8")
    result = run_config(cfg, tmp_path)
    assert (result["status"], result["doubts"]) == ("steady", None)
    assert 8 < result["t_end"] < 20
    assert result["w1_error"] < 1e-4
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    assert float(rows[-1]["observed_x**2"]) == pytest.approx(result["second_moment"], rel=1e-8)
    assert float(rows[0]["observed_right"]) == pytest.approx(0.5 * math.erfc(-1 / math.sqrt(2)), abs=1e-8)
    assert float(rows[-1]["observed_right"]) == pytest.approx(0.5, abs=1e-3)


def test_a_flow_stops_when_it_is_steady():
    settings = {"potential": "x**2/2", "law": wgf.Gaussian(1.0, 0.5), "t_end": 40.0}
    flow = wgf.solve(wgf.FokkerPlanck(), stop="steady", steady=1e-5, **settings)
    assert flow.status is wgf.Status.steady
    assert flow.t[-1] < 22
    assert float(flow.projection(flow.saved.theta[-1]).dissipation) < (1e-5 * 0.5 / 40) ** 2
    assert wgf.solve(wgf.FokkerPlanck(), **settings).t[-1] == 40


def test_a_flow_observes_formulas_and_functions():
    settings = {"potential": "x**2/2", "law": wgf.Gaussian(1.0, 0.3), "t_end": 1.0, "saves": [0.25]}
    table = wgf.solve(wgf.FokkerPlanck(0.5), observe=["right=where(x > 0, 1, 0)", "x**2"], **settings).table()
    named = wgf.solve(wgf.FokkerPlanck(0.5), observe={"wave": torch.cos, "square": "x**2"}, **settings).table()
    for k, t in enumerate((0.0, 0.25, 1.0)):
        mean, variance = math.exp(-t), 0.09 * math.exp(-2 * t) + 0.5 * (1 - math.exp(-2 * t))
        right = 0.5 * math.erfc(-mean / math.sqrt(2 * variance))
        assert table["observed_right"][k] == pytest.approx(right, abs=1e-6)
        assert table["observed_x**2"][k] == pytest.approx(mean**2 + variance, abs=1e-6)
        assert named["observed_wave"][k] == pytest.approx(math.cos(mean) * math.exp(-variance / 2), abs=1e-6)
    assert (named["observed_square"] == table["observed_x**2"]).all()
    with pytest.raises(ConfigError, match="the name 'y'"):
        wgf.solve(wgf.FokkerPlanck(), observe=["y"], t_end=1.0)


@pytest.mark.parametrize(
    ("law", "formula", "right"),
    [
        (wgf.Gaussian(), "exp(10*x)", math.exp(50)),
        (wgf.Gaussian(), "x^20", float(math.prod(range(1, 20, 2)))),
        (wgf.Student(4.2), "x^4", 3 * 4.2**2 / (2.2 * 0.2)),
        (wgf.Student(5.0), "x^4", 25.0),
        (wgf.LogNormal(1.0), "x^8", math.exp(32)),
        (wgf.Laplace(0.0, 3.0), "exp(x)/(1 + exp(x))", 0.5),
    ],
)  # fmt: skip
def test_tails_count_as_far_as_they_weigh(law: wgf.Base, formula: str, right: float):
    """Beyond 1e-30 of the mass there was nothing: E exp(10 x) was 2 % off, E x^4 of Student(4.2) 5 %."""
    flow = wgf.solve(wgf.LinearTransport(), law=law, potential="x^2/2", t_end=1e-3, saves=1)
    assert flow.expectation(0.0, formula) == pytest.approx(right, rel=1e-9)
    assert flow.expectation(0.0, lambda x: wgf.potentials.Expressed(formula).value_at(x)) == pytest.approx(
        right, rel=1e-9
    )


@pytest.mark.parametrize(("law", "formula"), [(wgf.Student(3.0), "x^4"), (wgf.Gaussian(), "exp(40*x)")])
def test_a_mean_that_no_tail_ends_is_no_number(law: wgf.Base, formula: str):
    flow = wgf.solve(wgf.LinearTransport(), law=law, potential="x^2/2", t_end=1e-3, saves=1)
    assert math.isnan(flow.expectation(0.0, formula))
