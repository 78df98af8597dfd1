"""The choice of a reference solution: by formula, by finite volumes, or none."""

from pathlib import Path

import pytest
from composed_configs import composed
from reference_problems import problem

from wgf.errors import ConfigError
from wgf.problem.equations import FokkerPlanck
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Quartic
from wgf.reference_solutions import choose as comparison
from wgf.reference_solutions.base import Unresolved
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.run.runner import build, run

QUARTIC = problem(FokkerPlanck(), Gaussian(), Quartic(1.0))


def test_failure_costs_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    for error in (Unresolved("too stiff"), MemoryError(), KeyboardInterrupt()):

        def fails(*_, error=error):
            raise error

        monkeypatch.setattr(finite_volume, "solve", fails)
        assert comparison.computed(QUARTIC, [0.2]) is None
    assert "no reference solution: Unresolved: too stiff" in caplog.text


@pytest.mark.parametrize(("choice", "known"), [("auto", True), ("finite_volume", True), ("none", False)])
def test_run(choice: str, known: bool, tmp_path: Path):
    cfg = composed("logger=none", "figures=false", f"reference_solution={choice}")
    found = run(build(cfg), cfg, tmp_path).as_dict()
    if known:
        assert found["w1_error"] == pytest.approx(6.5e-6, rel=0.02)
        assert found["reference_error"] < 1e-7
        assert found["reference_solution"] == "finite volumes"
    else:
        assert found["w1_error"] is found["reference_error"] is found["reference_solution"] is None


@pytest.mark.parametrize("choice", ["auto", "finite_volume"])
def test_finite_volumes_where_a_closed_form_is_known(choice: str, tmp_path: Path):
    cfg = composed("logger=none", "figures=false", "potential=quadratic", "saves=2", f"reference_solution={choice}")
    found = run(build(cfg), cfg, tmp_path).as_dict()
    assert found["reference_solution"].startswith("exact" if choice == "auto" else "finite volumes")
    assert found["w1_error"] < 1e-6
    # from N(0, 1) in V = x^2/2: the law stays what it is
    assert found["w2_to_equilibrium"] < 1e-6


def test_exact_where_nothing_is_known():
    with pytest.raises(ConfigError, match="reference_solution=exact is impossible"):
        build(composed("reference_solution=exact"))
