"""Similar problems in other units and at other places have similar grids and errors."""

import numpy as np
import pytest
from reference_problems import problem

from wgf.problem.domain import HalfLine
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, PorousMedium
from wgf.problem.interaction import Zero
from wgf.problem.laws import Mixture, TruncatedNormal, Uniform
from wgf.problem.potential import Expressed
from wgf.reference_solutions.base import Grid
from wgf.reference_solutions.finite_volumes import refinement as finite_volume
from wgf.reference_solutions.finite_volumes.schemes import Monotone


@pytest.mark.parametrize(("length", "shift"), [(2.0**-9, 0.0), (2.0**9, 0.0), (1.0, 8.0)])
@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_stated_errors_follow_the_unit_of_length_and_the_place(
    length: float, shift: float, exponent: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(finite_volume.LEVELS, False, (48, 96, 192))

    def solved(length: float, shift: float) -> finite_volume.Reference:
        law = Uniform(length * (shift - 0.3), length * (shift + 0.5))
        pde = AggregationDiffusion(0.3 * length ** (1 + exponent), exponent)
        v = Expressed(f"{length**2!r}*((x/{length!r} - {shift!r})**4/4)")
        return finite_volume._refine(Monotone, problem(pde, law, v), np.array([0.1]), Grid(
            length * (shift - 3), length * (shift + 3), length * shift, length, 200))  # fmt: skip

    one, two = solved(1.0, 0.0), solved(length, shift)
    assert two.errors == pytest.approx(length * one.errors, rel=1e-9 if not shift else 1e-3)
    assert two.w2_errors == pytest.approx(length * one.w2_errors, rel=1e-9 if not shift else 1e-3)


def test_rounding_of_tails_does_not_decide_about_a_limit():
    """On a half-line F is 1 - 1e-9 in the tail, where rounding moves places by 1e-7: by more than W1 changes."""

    def solved(shift: float) -> finite_volume.Reference:
        domain, law = HalfLine(1.18 + shift), TruncatedNormal(1.510368 + shift, 0.55216, 1.18 + shift, 5.82 + shift)
        v = Expressed(f"1.228*((x - {shift + 1.18!r})/4.64)")
        posed = FokkerPlanck(1.24).problem(law, v, Zero(), 0.208, "auto", domain)
        return finite_volume.solve(posed, [0.208])

    one, two = solved(0.0), solved(8.0)
    assert one.share > 0
    assert two.errors == pytest.approx(one.errors, rel=0.01)


SIMILAR = {
    "length": (2.0**-9, 0.0, 1.0),
    "time": (1.0, 0.0, 2.0**7),
    "place": (1.0, 8.0, 1.0),
    "side": (-1.0, 0.0, 1.0),
}


@pytest.mark.parametrize("kind", SIMILAR)
def test_a_similar_problem_has_a_similar_grid_and_the_same_error(kind: str, monkeypatch: pytest.MonkeyPatch):
    """Particles at length (x + shift) at the time `time` t follow the same equation with other coefficients."""
    monkeypatch.setitem(finite_volume.LEVELS, False, (64, 128, 256))

    def solved(length: float, shift: float, time: float) -> finite_volume.Reference:
        unit = abs(length)
        law = Mixture([length * (shift - 1), length * (shift + 0.7)], [0.4 * unit, 0.3 * unit], [0.4, 0.6])
        v = Expressed(f"{length**2 / time!r}*((x/{length!r} - {shift!r})**4/4 + (x/{length!r} - {shift!r})**3/9)")
        return finite_volume.solve(problem(PorousMedium(1.5, 0.8 * unit**2.5 / time), law, v), [0.07 * time])

    (length, shift, time), one = SIMILAR[kind], solved(1.0, 0.0, 1.0)
    two = solved(length, shift, time)
    ends = length * (np.array([one.fine.grid.low, one.fine.grid.high]) + shift)
    assert [two.fine.grid.low, two.fine.grid.high] == pytest.approx(np.sort(ends), rel=1e-12)
    assert two.fine.grid.centre == pytest.approx(length * (one.fine.grid.centre + shift), rel=1e-12)
    assert two.fine.grid.stretch == pytest.approx(abs(length) * one.fine.grid.stretch, rel=1e-12)
    assert two.errors == pytest.approx(abs(length) * one.errors, rel=1e-2)
    assert two.w2_errors == pytest.approx(abs(length) * one.w2_errors, rel=2e-2)
