"""No text of any figure is cut off or lies on another one, and no axis has a number twice, over awkward runs.

Each figure is drawn at paper size, and those of two runs also with half of their pixels, as in TensorBoard.
"""

from collections.abc import Callable

import numpy as np
import pytest
from awkward_runs import HISTORIES, LONG, RUNS, collisions, flow
from matplotlib.figure import Figure

from wgf.figures.catalogue import OF_HISTORY, OF_SOLUTION
from wgf.figures.comparison import convergences, finals
from wgf.figures.ensemble import fan, over_parameters
from wgf.figures.style import DPI

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


def ensemble() -> dict[str, Figure]:
    """Figures of 30 flows with tiny errors, over one and over two parameters."""
    shares, x = np.linspace(0.0, 1.0, 30), np.linspace(-4e-7, 4e-7, 50)
    wide, errors = {"pde.diffusion": 1.0 + 1e-7 * shares}, 1e-9 * (1 + shares)
    both = wide | {"potential.center": -98765.0 + 1e-3 * np.cos(20 * shares)}
    return {
        "fan": fan(x, 1e6 * (1 + shares[:, None]) * np.exp(-((x / 2e-7) ** 2)), "Densities at t = 1e-06"),
        "one": over_parameters(wide, errors, "W1 error", "W1 error at the end"),
        "two": over_parameters(both, errors, "W1 error", "W1 error at the end"),
        "bar": over_parameters(both, 16.1 * shares - 44.2, "std", "Standard deviations: ticks depend on the bar"),
    }


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
    **{
        f"{name} {run}": lambda name=name, run=run: {name: flow(run).plot(name)}
        for name, runs in {
            "energy": ("short", "slow"),
            "steps": ("short", "at rest"),
            **dict.fromkeys(("ridgeline", "errors"), ("long", "close times")),
        }.items()
        for run in runs
    },
    "ensemble": lambda: ensemble(),
    "finals": lambda: {"final": finals(dict(RUNS), LONG)},
    "one curve": lambda: swept(1, 1e-5),
    "many curves": lambda: swept(6, 1e-12),
    "a legend beside them": lambda: {"width": swept(12, 1e-12)["convergence-width"]},
}


@pytest.mark.parametrize("case", CASES)
def test_texts_are_readable(case: str):
    for name, figure in CASES[case]().items():
        assert not collisions(figure), name
        if case.endswith(("plain", "short")):
            assert not collisions(figure, DPI / 2), f"{name} as a thumbnail"
