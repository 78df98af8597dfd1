"""No text of any figure is cut off or lies on another one, over awkward runs, at both sizes."""

from collections.abc import Callable

import pytest
from awkward_runs import HISTORIES, LONG, RUNS, collisions
from matplotlib.figure import Figure

from wgf.figures.catalogue import OF_HISTORY, OF_SOLUTION
from wgf.figures.comparison import convergences, finals

HEAT = "rho_t = rho_xx"
HEADINGS = {"plain": LONG, "blow-up": "rho_t = rho_xx + (rho (W * rho)_x)_x, W = 3 log|x| (blow_up)"}


def swept(count: int, floor: float) -> dict[str, Figure]:
    """Errors of some degrees and widths, the finest ones of the highest degree saturated."""
    axes = ["network.degree", "network.width", "integrator.dt"]
    return convergences(
        axes,
        [
            {"network.degree": str(k), "network.width": str(4 * 2**j), "integrator.dt": f"{10.0**-k}"}
            | {"status": "completed", "w1_error": max(3e-9, float(4 * 2**j) ** -k), "reference_error": floor}
            | {"evaluations": 500 * k, "parameters": 4 * 2**j}
            for k in range(1, count + 1)
            for j in range(5)
        ],
        LONG,
    )


CASES: dict[str, Callable[[], dict[str, Figure]]] = {
    **{
        f"{name} {run}": lambda name=name, draw=draw, run=run: {name: draw(RUNS[run], HEADINGS.get(run, HEAT))}
        for k, (name, draw) in enumerate(OF_SOLUTION.items())
        for run in ["plain", *[*RUNS][1 + k % 2 :: 2]]  # half of the others, in turn
    },
    **{
        f"{name} {run}": lambda name=name, draw=draw, run=run: {name: draw(HISTORIES[run], LONG)}
        for name, draw in OF_HISTORY.items()
        for run in [*HISTORIES][1:]
    },
    "finals": lambda: {"final": finals(dict(RUNS), LONG)},
    "one curve": lambda: swept(1, 1e-5),
    "many curves": lambda: swept(6, 1e-12),
    "a legend beside them": lambda: {"width": swept(12, 1e-12)["convergence-width"]},
}


@pytest.mark.parametrize("case", CASES)
def test_texts_are_readable(case: str):
    for name, figure in CASES[case]().items():
        assert not collisions(figure), name
