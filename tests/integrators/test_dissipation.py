"""The dissipation is integrated to the order of the method; a shift or another unit of length changes no step."""

import math
from collections.abc import Callable

import pytest

import wgf

LAW = wgf.Gaussian()


def balance(integrator: wgf.Integrator, degree: int = 3) -> float:
    """Energy lost minus energy dissipated, relative."""
    network = wgf.Spline(8, degree, 3.0, base=LAW)
    flow = wgf.solve(
        wgf.FokkerPlanck(), t_end=0.2, law=LAW, potential="x**4/4 - x**2/2 + x", network=network,
        integrator=integrator, saves=1, reference_solution="none",
    )  # fmt: skip
    lost = flow.energy[0] - flow.energy[-1]
    return abs(lost - flow.clock.dissipated) / lost


@pytest.mark.parametrize(
    ("method", "steps", "order", "final"),
    [
        (wgf.JKO, 20, 1.0, 7e-2),
        (wgf.SDIRK2, 40, 1.9, 1e-3),
        (wgf.SDIRK3, 40, 2.6, 1e-4),
        (wgf.Heun, 400, 2.0, 2e-6),
        (wgf.RK4, 400, 4.0, 2e-10),
    ],
)
def test_orders_of_the_energy_balance(method: Callable[..., wgf.Integrator], steps: int, order: float, final: float):
    coarse, fine = (balance(method(dt=0.2 / n)) for n in (steps, 2 * steps))
    assert math.log2(coarse / fine) > order - 0.15
    assert fine < final


@pytest.mark.parametrize("method", [wgf.Rodas4, wgf.Dopri5])
def test_adaptive_methods_keep_the_energy_balance(method: Callable[..., wgf.Integrator]):
    assert balance(method(rtol=1e-6)) < 2e-6
    assert balance(method(rtol=1e-8)) < 1e-7


@pytest.mark.parametrize("origin", [1e2, 1e5])
def test_a_shift_changes_no_step(origin: float):
    def flow(origin: float) -> wgf.Flow:
        law = wgf.Gaussian(origin + 1, 1.0)
        return wgf.solve(wgf.FokkerPlanck(), t_end=1.0, law=law, potential=f"(x - {origin})**2/2", saves=1)

    there, here = flow(origin), flow(0.0)
    assert there.clock.steps == here.clock.steps
    assert there.clock.dissipated == pytest.approx(here.clock.dissipated, rel=1e-9)
    assert there.w2(there.reference_solution) == pytest.approx(
        here.w2(here.reference_solution), rel=1e-2, abs=1e-14 * origin
    )


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_a_unit_of_length_changes_no_step(unit: float):
    def flow(unit: float) -> wgf.Flow:
        law, v = wgf.Gaussian(0.3 * unit, unit), f"{unit**2}*((x/{unit})**4/4 - (x/{unit})**2/2)"
        return wgf.solve(wgf.FokkerPlanck(unit**2), t_end=0.2, law=law, potential=v, reference_solution="none", saves=1)

    there, here = flow(unit), flow(1.0)
    assert there.clock.steps == here.clock.steps
    assert there.clock.dissipated == pytest.approx(unit**2 * here.clock.dissipated, rel=1e-10)
    assert there.quantile(0.2, 0.9) == pytest.approx(unit * here.quantile(0.2, 0.9), rel=1e-10)
