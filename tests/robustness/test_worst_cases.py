"""Problems of scripts/stress.py whose errors come closest to what their estimates allow, and its rules."""

import json
import random
from types import ModuleType

import pytest
from loaded_scripts import script


@pytest.fixture(scope="module")
def stress() -> ModuleType:
    return script("stress")


WORST = [  # settings, and the ratio of the error to the largest error allowed
    (
        {
            "t_end": 0.00191,
            "seed": 84,
            "dtype": "float64",
            "saves": 5,
            "pde": "aggregation_diffusion",
            "pde.diffusion": 0.0,
            "pde.exponent": 3.0,
            "interaction": "none",
            "potential": "quartic",
            "potential.center": -0.414,
            "law": "laplace",
            "law.loc": 0.796,
            "law.scale": 0.325,
            "network": "mlp",
            "network.width": 5,
            "quadrature.order": 4,
            "integrator": "euler",
            "integrator.dt": 0.000478,
            "integrator.max_steps": 120,
            "solver": "auto",
        },
        0.97,
    ),
    (
        {
            "t_end": 0.153,
            "seed": 34,
            "dtype": "float64",
            "saves": 1,
            "pde": "linear_transport",
            "potential": "quadratic",
            "potential.stiffness": 1.32,
            "potential.center": 0.795,
            "law": "mixture",
            "law.means": [-0.195, 0.399],
            "law.stds": [0.324, 0.354],
            "law.weights": [0.874, 0.343],
            "network": "two_sided_relu",
            "network.width": 11,
            "network.bound": 4.31,
            "network.train": "weights",
            "quadrature.order": 9,
            "integrator": "gauss_newton",
            "integrator.rtol": 1e-05,
            "integrator.atol": 1.0000000000000001e-07,
            "integrator.max_steps": 120,
            "solver": "qr",
        },
        1.0,
    ),
    (
        {
            "t_end": 0.104,
            "seed": 47,
            "dtype": "float64",
            "saves": 5,
            "pde": "linear_transport",
            "potential": "expression",
            "potential.expr": "1.14*log(1 + (x - 0.612)**2)",
            "law": "barenblatt",
            "law.exponent": 2.0,
            "law.t0": 1.56,
            "network": "mlp",
            "network.width": 4,
            "quadrature": "monte_carlo",
            "quadrature.particles": 800,
            "integrator": "dopri5",
            "integrator.rtol": 0.0001,
            "integrator.atol": 1.0000000000000002e-06,
            "integrator.max_steps": 120,
            "solver": "auto",
        },
        1.0,
    ),
]


@pytest.mark.parametrize(("settings", "ratio"), WORST, ids=lambda v: v["pde"] if isinstance(v, dict) else str(v))
def test_the_worst_errors_stay_below_their_bounds(stress: ModuleType, settings: dict, ratio: float):
    row = stress.judge(stress.composed(settings), compute=True)
    assert row["status"] == "completed"
    assert not row["untrue"]
    assert row["ratio"] == pytest.approx(ratio, abs=0.02)


def test_an_untrue_result_is_reported(stress: ModuleType, monkeypatch: pytest.MonkeyPatch):
    """With a hundredth of its bound, the same problem is untrue."""
    run = stress.runner.run

    def boasting(experiment, cfg, folder, **others):
        run(experiment, cfg, folder, **others)
        path = folder / "result.json"
        result = json.loads(path.read_text())
        path.write_text(json.dumps(result | {"w2_bound": 0.01 * result["w2_bound"]}))

    monkeypatch.setattr(stress.runner, "run", boasting)
    settings, ratio = WORST[0]
    row = stress.judge(stress.composed(settings), compute=True)
    assert row["untrue"]
    assert row["ratio"] > 1 > ratio


def test_a_run_without_a_bound_is_counted(stress: ModuleType):
    settings = WORST[2][0] | {"potential.expr": "x**2/2 + 0.001*sin(x)*x**2", "t_end": 0.01}
    row = stress.judge(stress.composed(settings), compute=True)
    assert (row["status"], row["bound"], row["silent"]) == ("completed", None, False)
    assert row["error"] > 0
    header, _, line, _ = stress.table([{"pde": settings["pde"], **row}]).splitlines()
    cells = dict(zip(header.split(" | "), line.split(" | "), strict=True))
    assert (cells["compared"], cells["no bound"], cells["of them silent |"]) == ("0", "1", "0 |")


def test_the_same_number_is_the_same_problem(stress: ModuleType):
    draws = [stress.valid(random.Random("0-7"))[0] for _ in range(2)]
    assert draws[0] == draws[1]
    kinds = {stress.valid(random.Random(f"0-{k}"))[0]["pde"] for k in range(30)}
    assert len(kinds) == 5
