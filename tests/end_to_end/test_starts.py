"""Runs of the command from laws that are not their own base, and from data."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import called
from run_folders import result
from scipy.special import ndtr
from short_runs import BARE
from walled import distribution

import wgf
from wgf.problem.laws import Mixture

README = Path(__file__).parents[2] / "README.md"
QUICK = ["hydra.run.dir=run", *BARE]


def test_a_mixture_with_a_gap_runs_by_default(tmp_path):
    words = [
        "pde=fokker_planck",
        "potential=none",
        "law=mixture",
        "law.means=[-2,1]",
        "law.stds=[0.15,0.3]",
        "t_end=0.5",
    ]
    status, out, _ = called(tmp_path, *words, *QUICK, "reference_solution=none")
    found = result(tmp_path / "run")
    assert status == 0
    assert 1e-4 < found["initial_w2"] < 1e-2
    assert re.search(r"start .* W2 distance \d\.\de-03 to the initial law", out)
    exact = Mixture([-2, 1], [math.hypot(0.15, 1), math.hypot(0.3, 1)], [0.5, 0.5])
    flow = wgf.load(tmp_path / "run")  # the same breakpoints again
    assert flow.w2(exact) < 1e-4
    levels = torch.linspace(0.01, 0.99, 21, dtype=torch.float64)
    np.testing.assert_allclose(flow.quantile(0.5, levels), exact.quantile(levels), atol=1e-4)
    assert flow.cdf(0.5, 0.0) == pytest.approx(float(exact.cdf(torch.zeros(1, dtype=torch.float64))), abs=1e-4)
    assert found["second_moment"] == pytest.approx(exact.std**2 + exact.mean**2, rel=1e-4)


def test_an_escape_over_a_barrier_by_adaptive_breakpoints(tmp_path):
    """Against an expansion in eigenfunctions between walls so far away that no mass reaches them."""
    words = "pde.diffusion=0.08 potential.center=0 law.mean=-1 law.std=0.2 t_end=60 network.knots=adaptive saves=1"
    status, _, err = called(tmp_path, *words.split(), *QUICK, "reference_solution=none")
    assert status == 0, err
    flow, levels = wgf.load(tmp_path / "run"), np.linspace(0.01, 0.99, 15)
    mass = distribution(lambda x: x**3 - x, lambda x: ndtr((x + 1) / 0.2), 0.08, 60.0, -2.8, 2.8, n=96)
    assert flow.cdf(60.0, 0.0) == pytest.approx(mass(0.0), abs=1e-5)
    np.testing.assert_allclose(mass(flow.quantile(60.0, levels)), levels, atol=1e-5)
    density = mass.deriv()
    error = (mass(flow.quantile(60.0, levels)) - levels) / density(flow.quantile(60.0, levels))
    assert np.abs(error).max() < 1e-4  # of the quantiles


def test_the_tour_goes_from_a_thousand_samples_to_a_density(tmp_path):
    (line,) = re.findall(r"    wgf (law=samples.*?)  +# 1,000 samples", README.read_text(encoding="utf-8"))
    x = np.random.default_rng(0).normal(0.3, 0.8, 1000)
    np.savetxt(tmp_path / "data.csv", x)
    status, out, err = called(tmp_path, *line.split(), "hydra.run.dir=run", "logger=none")
    assert status == 0, err
    assert "smoothed by a Gaussian kernel" in out + (tmp_path / "run" / "run.log").read_text()
    assert (tmp_path / "run" / "figures" / "density.png").stat().st_size > 10_000
    assert result(tmp_path / "run")["w2_error"] < 1e-4
    sd = math.sqrt(2 + wgf.Samples(x).bandwidth ** 2)
    places = np.linspace(-4, 4, 17)
    density = np.exp(-0.5 * ((places[:, None] - x) / sd) ** 2).mean(1) / (sd * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(wgf.load(tmp_path / "run").density(1.0, places), density, atol=2e-4)


def test_constants_of_formulas_are_words(tmp_path):
    words = ["potential=expression", "potential.expr='a*x^2/2'", "potential.a=1.5"]
    status, _, err = called(tmp_path, *words, *QUICK, "t_end=0.1")
    assert status == 0, err
    assert result(tmp_path / "run")["reference_solution"] == "exact: self-similar solution"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("law=samples law.path=data.csv", "law.path=data.csv line 2: 'oops' in column 1 is not a finite number"),
        ("law=samples law.path=none.csv", "law.path=none.csv cannot be read"),
        ("law=histogram law.edges=[0,1,2] law.counts=[1,-1]", "law.counts must not be negative, but entry 2 is -1"),
        ("law=samples", "law.path is missing"),
        ("potential=expression potential.expr=x potential.a=1", "a=1.0 is not a constant of expr='x'"),
        ("potential=expression potential.expr=a*x potential.a=b", "potential.a=b is not allowed: expected a finite"),
        ("base=gauss", "base=gauss is not allowed: expected one of auto, law, gaussian, barenblatt"),
    ],
)
def test_bad_data_get_one_line(tmp_path, words, line):
    (tmp_path / "data.csv").write_text("1\noops\n2\n")
    status, _, err = called(tmp_path, *words.split(), *QUICK)
    assert status == 2
    assert len(err.strip().splitlines()) == 1
    assert line in err
    assert not (tmp_path / "run").exists()
