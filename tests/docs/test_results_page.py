"""docs/results.md from made-up runs: every cell of every study finds its place in the page."""

import itertools
import json
import math

import pytest
from composed_configs import composed
from loaded_scripts import script

from wgf.sweep.orders import REFINED
from wgf.sweep.study import Study

DOUBTS = "map: folded since t = 0.1; energy: rose at t = 0.2"


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Rows as `wgf.sweep.study.read` makes them: errors fall with the order 2; runs in turn are folded."""
    made = {}
    for name, words in script("results").STUDIES.items():
        root = tmp_path_factory.mktemp(name)
        choices = [word.split("=", 1) for word in words.split()]
        axes = [key for key, value in choices if "," in value]
        job = root / "job"
        job.mkdir()
        doubts = DOUBTS if name.startswith("in_turn") else None
        result = {"status": "completed", "doubts": doubts, "second_moment": 1.3, "second_moment_law": 1.3}
        (job / "result.json").write_text(json.dumps(result))
        rows = []
        for values in itertools.product(*(value.split(",") for _, value in choices)):
            row = dict(zip([key for key, _ in choices], values, strict=True))
            m = int(row.get("network.width", 16))
            row |= {"job": "job", "status": "completed", "t_reached": 0.2, "w1_error": m**-2.0, "w1_clear": True}
            row |= {"quasi_optimality": 1.0} | {f"w1_order_{axis}": 2.0 for axis in ("width", "dt")}
            rows.append(row)
        made[name] = Study(root, sorted(axes, key=lambda axis: axis in REFINED), rows, f"wgf-study {words}")
    return made


def test_every_cell_has_its_number(studies, monkeypatch):
    monkeypatch.setattr(script("results"), "moments", lambda found, splines: "")
    page = script("results").page(studies, 60.0)
    assert "{" not in page
    assert page.count("6.1e-05 (f)") >= 18  # nine experiments, two bounds, m = 128 in turn
    assert page.count("| biases |") == page.count("| in turn |") == 18
    assert f"ln W1 = {math.log(4**-2.0):.3f}" in page
    assert "2.00 | 2.00" in page
    for words in script("results").STUDIES.values():
        assert f"wgf-study {words}" in page


def test_steps_in_turn_are_twice_the_steps_of_the_paper():
    """Half of a step moves the weights, half of it the biases: each by the step of experiment=paper/..."""
    results = script("results")
    for name, words in results.GRID.items():
        if name.startswith("in_turn"):
            choices = dict(word.split("=", 1) for word in words.split())
            for experiment in choices["experiment"].split(","):
                paper = composed(f"experiment={experiment}").integrator.dt
                assert float(choices["integrator.dt"]) == pytest.approx(2 * paper)
