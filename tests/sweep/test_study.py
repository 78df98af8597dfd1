"""Convergence studies: what a table of runs says, measured orders, quasi-optimality, the command from end to end."""

import csv
import json
import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import called
from command_line import wgf as command
from tables import rows

from wgf.errors import ConfigError
from wgf.sweep import closing, orders, study

# the table, from runs that are made up


def put(root: Path, job: int, words: list[str], dtype: str = "float64", **result: Any) -> None:
    """The folder of a run as a sweep leaves it; no result, no result.json."""
    folder = root / str(job)
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    (folder / "config.yaml").write_text(yaml.safe_dump({"dtype": dtype}))
    if result:
        known = {"status": "completed", "t_end": 0.2, "steps": 10, "evaluations": 20, "wall_s": 0.1 * (job + 1)}
        (folder / "result.json").write_text(json.dumps(known | result))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Errors 3^-degree m^-(degree + 1) + dt^2, of which the last term is the larger one for degree 3."""
    task = ["network.width=8,16", "figures=false"]
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": {"overrides": {"task": task}}}))
    for job, (width, degree, dt) in enumerate(product((8, 16, 32), (1, 3), (0.02, 0.01))):
        error = 1e3 * 3.0**-degree / width ** (degree + 1) if degree == 1 else dt**2
        words = [f"network.width={width}", f"network.degree={degree}", f"integrator.dt={dt}", "t_end=0.2"]
        put(tmp_path, job, words, w1_error=error, w2_error=2 * error, w2_best=1.6 * error, parameters=width + degree)
    return tmp_path


def test_orders_and_ratios(sweep: Path):
    found = study.read(sweep)
    assert found.command == "wgf-study network.width=8,16"
    assert found.axes == ["network.degree", "network.width", "integrator.dt"]
    assert orders.refined(found.axes) == ["network.width", "integrator.dt"]
    assert len(found.rows) == 12
    for row in found.rows:
        first = row["network.degree"] == "1"
        for distance in ("w1", "w2"):
            width, dt = row[f"{distance}_order_width"], row[f"{distance}_order_dt"]
            assert width is None if row["network.width"] == "8" else width == pytest.approx(2 if first else 0)
            assert dt is None if row["integrator.dt"] == "0.02" else dt == pytest.approx(0 if first else 2)
        assert row["quasi_optimality"] == pytest.approx(1.25)
        assert row["w1_clear"]
        assert row["w2_clear"]


def test_files_of_a_study(sweep: Path):
    paths = study.save(study.read(sweep))
    names = {path.relative_to(sweep).as_posix() for path in paths}
    pictures = ("convergence-degree", "convergence-width", "convergence-dt", "cost")
    kinds = [f"figures/{name}.{kind}" for name in pictures for kind in ("png", "pdf")]
    assert names == {"study.csv", "study.md", *kinds}
    assert all((sweep / name).stat().st_size > 500 for name in names)
    with open(sweep / "study.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["w1_error"]) for row in rows] == [row["w1_error"] for row in study.read(sweep).rows]
    lines = (sweep / "study.md").read_text().splitlines()
    assert lines[2] == "    wgf-study network.width=8,16"
    header, _, *body = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    assert header[:5] == ["degree", "width", "dt", "W1 error", "order (width)"]
    assert len(body) == 12
    assert all(len(row) == len(header) for row in body)
    assert [line for line in lines if line.startswith("!")] == [f"![{name}](figures/{name}.png)" for name in pictures]


def test_doubtful_errors_are_marked_and_have_no_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for job, (width, error) in enumerate([(8, 1e-3), (16, 1e-5), (32, 2e-8)]):
        found = {"w1_error": error, "w2_error": error, "w2_best": 0.9 * error}
        put(tmp_path, job, [f"network.width={width}"], **found, reference_error=1e-8, reference_w2_error=1e-8)
    rows = study.read(tmp_path).rows
    assert [row["w1_clear"] for row in rows] == [True, True, False]
    assert [row["w1_order_width"] for row in rows] == [None, pytest.approx(math.log2(100)), None]
    assert [row["quasi_optimality"] for row in rows] == [pytest.approx(1 / 0.9), pytest.approx(1 / 0.9), None]
    text = study.markdown(study.read(tmp_path), [])
    assert r"| 2.00e-08\* |" in text
    assert text.endswith("\\* not clearly above the error of the reference solution\n")
    rows[1]["w2_best"] = 2e-9  # within reach of the network, for all that is known
    closing.show_w2(rows, ["network.width"])
    *_, second, third, line = (line for line in capsys.readouterr().out.splitlines() if line.strip())
    assert second.split() == ["16", "1.00e-05", "6.64", "2.00e-09*", "1.111"]
    assert third.split() == ["32", "2.00e-08*", "1.80e-08*"]
    assert line == "* not clearly above the error of the reference solution"


@pytest.mark.parametrize(("dtype", "ratio"), [("float64", 2.0), ("float32", None)])
def test_no_ratio_of_rounding_errors(tmp_path: Path, dtype: str, ratio: float | None):
    put(tmp_path, 0, ["network.width=8"], dtype, w1_error=1e-6, w2_error=2e-6, w2_best=1e-6)
    put(tmp_path, 1, ["network.width=9"], dtype, w1_error=1e-6, w2_error=2e-13, w2_best=1e-13)
    put(tmp_path, 2, ["network.width=10"], dtype, w1_error=1e-6, w2_error=2e-6)
    assert [row["quasi_optimality"] for row in study.read(tmp_path).rows] == [ratio, None, None]


def test_runs_that_failed_keep_their_rows(tmp_path: Path):
    put(tmp_path, 0, ["network.width=8"], w1_error=1e-2, w2_error=1e-2)
    put(tmp_path, 1, ["network.width=16"], status="folded", t_end=0.0142, w1_error=1e-9, w2_error=1e-9)
    put(tmp_path, 2, ["network.width=32"])
    put(tmp_path, 10, ["network.width=64"], w1_error=1e-2 / 64, w2_error=1e-2 / 64)
    found = study.read(tmp_path)
    assert [row["status"] for row in found.rows] == ["completed", "folded", "waiting", "completed"]
    assert [row["w1_order_width"] for row in found.rows] == [None, None, None, pytest.approx(2)]
    lines = study.table(found)
    assert "| folded at 0.0142 |" in lines[3]
    assert "1.00e-09" not in lines[3]
    assert "| waiting |" in lines[4]


def test_an_end_time_that_varies_is_the_one_asked_for(tmp_path: Path):
    put(tmp_path, 0, ["t_end=0.5", "network.width=8"], t_end=0.5, t_wanted=0.5, w1_error=1e-2, w2_error=1e-2)
    put(tmp_path, 1, ["t_end=0.5", "network.width=16"], status="folded", t_end=0.1, t_wanted=0.5, w1_error=1e-2)
    put(tmp_path, 2, ["t_end=0.2", "network.width=16"], t_end=0.2, t_wanted=0.2, w1_error=1e-3, w2_error=1e-3)
    put(tmp_path, 3, ["t_end=0.5", "network.width=32"], t_end=0.5, t_wanted=0.5, w1_error=1e-2 / 16, w2_error=1e-3)
    rows = {row["job"]: row for row in study.read(tmp_path).rows}
    assert [rows[job]["t_end"] for job in "0123"] == ["0.5", "0.5", "0.2", "0.5"]
    assert [rows[job]["t_reached"] for job in "0123"] == [0.5, 0.1, 0.2, 0.5]
    assert [rows[job]["w1_order_width"] for job in "0123"] == [None, None, None, pytest.approx(2)]


def test_what_is_refined_may_be_unwritten(tmp_path: Path):
    (tmp_path / ".hydra").mkdir()  # of the folder itself
    with pytest.raises(ConfigError, match="holds no runs"):
        study.read(tmp_path)
    put(tmp_path, 0, [], w1_error=1e-2, w2_error=1e-2)
    put(tmp_path, 1, ["network.width=16"], w1_error=1e-4, w2_error=1e-2)
    put(tmp_path, 2, ["+network.width=64"], w1_error=1e-4 / 16, w2_error=1e-2)
    assert [row["w1_order_width"] for row in study.read(tmp_path).rows] == [None, None, pytest.approx(2)]
    assert study.read(tmp_path).command == ""


def noted(root: Path) -> str:
    return "\n".join(orders.notes(study.read(root).rows, study.read(root).axes))


def test_orders_over_dt_are_those_over_the_steps_taken(tmp_path: Path):
    """Saved times shorten 0.04 and 0.02; the dt of an adaptive method says nothing."""
    for job, (dt, steps) in enumerate([(0.04, 40), (0.02, 60), (0.01, 100)]):
        words = [f"integrator.dt={dt}", "integrator=rk4"]
        put(tmp_path, job, words, w1_error=steps**-4.0, w2_error=steps**-4.0, steps=steps, mean_step=1 / steps)
        words = [f"integrator.dt={dt}", "integrator=rodas4"]
        put(tmp_path, job + 3, words, w1_error=1e-5, w2_error=1e-5, mean_step=None)
    rows = {row["job"]: row for row in study.read(tmp_path).rows}
    assert [rows[job]["w2_order_dt"] for job in "012345"] == [None, *[pytest.approx(4)] * 2, None, None, None]
    assert noted(tmp_path) == (
        "order (dt) is over the mean step taken (mean_step): integrator.dt differs by a factor of up to 1.6\n"
        "no order (dt) where steps are adaptive: integrator.dt is only the first one"
    )
    assert noted(tmp_path).replace("\n", "\n\n") in study.markdown(study.read(tmp_path), [])


def test_orders_over_the_width_count_breakpoints(tmp_path: Path):
    for job, (width, points) in enumerate([(8, 24), (16, 48)]):
        words = [f"network.width={width}"]
        put(tmp_path, job, words, w1_error=points**-4.0, w2_error=1.0, breakpoints=points, mesh_tolerance=None)
    assert study.read(tmp_path).rows[1]["w1_order_width"] == pytest.approx(4)
    assert (
        noted(tmp_path) == "order (width) is over the breakpoints in use: network.width differs by a factor of up to 3"
    )


def test_a_cap_of_adaptive_breakpoints_has_no_order(tmp_path: Path):
    for job, (width, error) in enumerate([(100, 2e-4), (200, 1e-4)]):
        found = {"w1_error": error, "w2_error": error, "breakpoints": 60 + job, "mesh_tolerance": 1e-4}
        put(tmp_path, job, [f"network.width={width}"], **found)
    assert study.read(tmp_path).rows[1]["w1_order_width"] is None
    assert noted(tmp_path) == "no order (width) where breakpoints are adaptive: network.width only caps their number"


# the command


STUDY = ("-m", "wgf.sweep.study")


def test_command(tmp_path: Path):
    words = ["experiment=transport_quartic", "network=two_sided_relu", "network.width=4,16,32", "logger=none"]
    words += ["t_end=0.1", "hydra/launcher=basic", "hydra.sweep.dir=s"]
    status, out, err = called(tmp_path, *words, main=study.main)
    assert status == 1, err  # four neurons fold
    assert "3 runs, 1 of them not completed\nstudy in     s\n" in out
    assert re.search(r" +width +W2 error +order \(width\) +best W2 +W2 / best *\n", out)
    text = (tmp_path / "s" / "study.md").read_text()
    assert re.search(r"\| 4 \|  \|.*\| folded at 0.014", text)
    found = study.read(tmp_path / "s").rows
    with open(tmp_path / "s" / "study.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["network.width"] for row in written] == ["4", "16", "32"]
    for row, line in zip(found[1:], written[1:], strict=True):
        known = json.loads((tmp_path / "s" / row["job"] / "result.json").read_text())
        assert float(line["w1_error"]) == known["w1_error"]
        assert float(line["quasi_optimality"]) == known["w2_error"] / known["w2_best"]
        assert not (tmp_path / "s" / row["job"] / "figures").exists()
    assert found[2]["w1_order_width"] == pytest.approx(2.1, abs=0.3)
    last = [line.split() for line in out.splitlines() if line.split()[:1] == ["32"]][-1]
    expected = f"32 {found[2]['w2_error']:.2e} {found[2]['w2_order_width']:.2f} {found[2]['w2_best']:.2e}"
    assert last == [*expected.split(), f"{found[2]['quasi_optimality']:.3f}"]
    assert called(tmp_path, "--help", main=study.main) == (0, study.USAGE + "\n", "")
    assert called(tmp_path, main=study.main)[0] == 2
    # again, from what is on the disk
    (tmp_path / "s" / "study.md").unlink()
    status, _, err = called(tmp_path, "s", main=study.main)
    assert (status, err) == (1, "")
    assert (tmp_path / "s" / "study.md").read_text() == text
    # without any picture
    words = ["network.width=4,6", "t_end=1e-3", "saves=1", "hydra/launcher=basic", "hydra.sweep.dir=n", "figures=false"]
    assert called(tmp_path, *words, "reference_solution=none", "logger=none", main=study.main)[0] == 0
    assert "![" not in (tmp_path / "n" / "study.md").read_text()
    assert not (tmp_path / "n" / "figures").exists()


REFUSED = """
nowhere                  -> wgf-study: nowhere is not a folder: expected the folder of a sweep, or overrides
.                        -> wgf-study: . holds no runs
. t_end=1                -> wgf-study: . t_end=1: expected either the folder of a sweep alone, or overrides
network.widht=8,16       -> wgf: network.widht is not a setting: did you mean network.width?
network.width=0,8        -> wgf: network.width=0 is not allowed
experiment=paper/nothing -> wgf: experiment=paper/nothing is not a choice
--nothing t_end=1        -> wgf-study: unrecognized arguments: --nothing
"""


@pytest.mark.parametrize(("words", "line"), rows(REFUSED))
def test_bad_input(tmp_path: Path, words: str, line: str):
    if line.startswith("wgf: "):  # the sweep says it, in a process of its own
        answer = command(tmp_path, *words.split(), start=STUDY)
        status, err = answer.returncode, answer.stderr
    else:
        status, _, err = called(tmp_path, *words.split(), main=study.main)
    assert status == 2
    assert err.startswith(line), err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
