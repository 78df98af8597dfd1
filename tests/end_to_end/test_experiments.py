"""Every experiment runs from its name alone: a few steps, the laws a flow obeys, and one number that stands still."""

from pathlib import Path

import pytest
from composed_configs import choices, composed
from omegaconf import OmegaConf

from wgf.run.runner import build, run
from wgf.saved_maps import SavedMaps
from wgf.settings.check import CONFIGS, check

# end time, second moment there
PINNED = {
    "aggregation": (0.02, 0.841789700765806),
    "all_parameters": (0.002, 0.9846477453153784),
    "fokker_planck_quartic": (0.002, 0.9846477569591544),
    "fokker_planck_sextic": (1e-5, 0.9662585693179099),
    "keller_segel_blow_up": (0.005, 0.995),
    "keller_segel_subcritical": (0.002, 1.002),
    "keller_segel_supercritical": (0.002, 0.998),
    "ornstein_uhlenbeck": (0.002, 1.249001997336),
    "paper/fokker_planck_quadratic": (0.005, 1.0000249001997494),
    "paper/fokker_planck_quartic": (0.001, 0.9921425438849172),
    "paper/fokker_planck_sextic": (5e-6, 0.9826549636740338),
    "paper/keller_segel_subcritical": (0.0015, 1.0015001358271904),
    "paper/keller_segel_supercritical": (0.0015, 0.9985003241091164),
    "paper/porous_medium_barenblatt": (0.005, 0.868232800995715),
    "paper/transport_quadratic": (0.005, 0.9900697804094979),
    "paper/transport_quartic": (0.001, 0.9901568970216612),
    "paper/transport_sextic": (5e-6, 0.9826450701958811),
    "paper_default": (0.002, 0.9846044259539258),
    "porous_medium_barenblatt": (0.002, 0.8665031575822744),
    "porous_medium_gaussian": (0.002, 1.001127890024899),
    "transport_quartic": (0.002, 0.9807092363738891),
    "transport_sextic": (1e-5, 0.9662390003997254),
}


def test_every_experiment_is_pinned():
    assert set(PINNED) == set(choices("experiment"))


@pytest.mark.parametrize("name", PINNED)
def test_experiment(name: str, tmp_path: Path):
    t_end, second_moment = PINNED[name]
    overrides = (f"t_end={t_end}", "saves=1", "figures=false", "logger=none", "reference_solution=none")
    cfg = composed(f"experiment={name}", *overrides)
    check(cfg)
    found = run(build(cfg), cfg, tmp_path).as_dict()
    assert (found["status"], found["t_end"]) == ("completed", t_end)
    assert found["second_moment"] == pytest.approx(second_moment, rel=1e-8)
    assert found["mass"] == pytest.approx(1.0, abs=1e-12)
    assert found["min_slope"] > 0
    assert found["residual"] is None or found["residual"] < 1
    assert found["dissipated"] > 0
    solution = SavedMaps.load(tmp_path / "solution.npz")
    assert solution.T[0] == pytest.approx(solution.z, abs=1e-12)  # the flow starts at the identity
    if found["second_moment_law"] is not None:
        # explicit Euler meets a law that is linear in time exactly, the exponential one of a well to its order: 5e-6
        tolerance = 1e-5 if name == "paper/transport_quadratic" else 1e-6
        assert second_moment == pytest.approx(found["second_moment_law"], rel=tolerance)


STEPS = {"quadratic": 1e-3, "sextic": 1e-6, "quartic": 2e-4, "barenblatt": 1e-3}
STEPS |= dict.fromkeys(("subcritical", "supercritical"), 3e-4)


@pytest.mark.parametrize("name", [name for name in PINNED if name.startswith("paper/")])
def test_the_set_up_of_the_paper(name: str):
    """Its network, its method, a thousand of its steps; a sweep goes through its widths, bounds and updates."""
    cfg, dt = composed(f"experiment={name}"), STEPS[name.rpartition("_")[2]]
    plain = composed(f"experiment={name}", "network=two_sided_relu", "integrator=euler", f"integrator.dt={dt}")
    assert cfg == plain
    assert cfg.t_end == pytest.approx(1000 * dt)
    swept = OmegaConf.load(CONFIGS / "experiment" / f"{name}.yaml").hydra.sweeper.params
    assert swept == {"network.width": "4,8,16,32", "network.bound": "4,10", "network.train": "weights,all"}
