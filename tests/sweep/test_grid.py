"""The jobs of a grid: their folders, of which only those run that are missing or failed."""

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from run_folders import results
from small_sweeps import HERE, ended, times

from hydra_plugins.wgf_sweeper import name

NUMBERED = "hydra.sweep.subdir=job${hydra:job.num}"


def test_only_what_is_missing_or_failed_is_run_again(wgf, tmp_path: Path):
    faults = "integrator._target_=wgf.integrators.explicit.Euler,faulty_integrators.Crashed"
    status, out, err = wgf("-m", faults, *HERE)
    assert (status, err) == (1, "wgf: 1 of 2 jobs did not complete\n")
    assert "crashed (RuntimeError: this is a bug)  _target_-faulty_integrators.Crashed" in out
    first, second = results(tmp_path / "s")
    assert (first["job"], first["status"]) == ("_target_-faulty_integrators.Crashed", "crashed")
    assert first["message"] == "RuntimeError: this is a bug"
    assert first["w1_error"] == ""
    assert second["status"] == "completed"
    folder = tmp_path / "s" / "_target_-faulty_integrators.Crashed"
    assert "Traceback" in (folder / "run.log").read_text()

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "s" / second["job"]).rglob("*")}
    (tmp_path / "mended").write_text("")
    status, out, _ = wgf("-m", faults, *HERE)
    assert status == 0
    assert "1 of 2 jobs are complete and not run again" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    mended, untouched = results(tmp_path / "s")
    assert untouched == second
    assert mended["status"] == "completed"
    assert mended["w1_error"] == second["w1_error"]
    assert (folder / "history.csv").read_text().count("\n") == 4


def test_a_job_that_is_not_saved_is_run_again(wgf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["-m", "network.width=4,6", *HERE, "figures=true"]
    monkeypatch.setattr("wgf.sweep.collate._draw", Mock())
    finish = Mock(side_effect=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    monkeypatch.setattr("wgf.run.callbacks.figures.Figures.finish", finish)
    status, out, err = wgf(*words)
    finish.side_effect = None
    assert (status, err.splitlines()[-1]) == (1, "wgf: 2 of 2 jobs did not complete")
    assert "2/2  completed" in out
    assert "3/2" not in out
    assert "reached the end time; not saved: Figures: OSError: " in out
    assert {row["status"] for row in results(tmp_path / "s")} == {"completed"}
    assert wgf(*words)[0] == 0
    assert "unsaved" not in results(tmp_path / "s")[0]
    assert wgf(*words)[1].count("2 of 2 jobs are complete and not run again") == 1


def test_only_new_jobs_are_run(wgf, four: Path):
    first = times(four)
    said = ended(four.parent, "network.width=4,8,16", "network.degree=1,3")
    assert "4 of 6 jobs are complete and not run again" in said
    assert finished_now(said) == ["5/6", "6/6"]
    assert [int(row["network.width"]) for row in results(four)] == [4, 4, 8, 8, 16, 16]
    assert first.items() <= times(four).items()


@pytest.mark.parametrize(
    ("before", "after", "widths", "lines"),
    [
        # an axis of one value is not in the folders' names: two values of it make other folders
        ("network.width=4,6 network.degree=1", "network.width=4 network.degree=1,3", [4, 4, 4, 6], ["1/2", "2/2"]),
        (f"network.width=4 {NUMBERED}", f"network.width=4,6 {NUMBERED}", [4, 6], ["2/2"]),
    ],
    ids=["another axis", "numbered folders"],
)
def test_only_new_jobs_are_run_where_the_names_differ(
    wgf, tmp_path: Path, before: str, after: str, widths: list[int], lines: list[str]
):
    ended(tmp_path, *before.split())
    first = times(tmp_path / "s")
    said = ended(tmp_path, *after.split())
    assert "not run again" not in said
    assert finished_now(said) == lines
    assert [int(row["network.width"]) for row in results(tmp_path / "s")] == widths
    assert first.items() <= times(tmp_path / "s").items()
    if NUMBERED in after:
        assert [row["job"] for row in results(tmp_path / "s")] == ["job0", "job1"]


def finished_now(said: str) -> list[str]:
    """The numbers of the jobs that a sweep says it has finished."""
    return [line[:3] for line in said.splitlines() if "  completed  W1" in line]


def test_a_folder_of_another_config_is_refused(wgf, four: Path):
    before = (four / "results.csv").read_text()
    status, out, err = wgf("-m", "network.width=16,4", "network.degree=1,3", *HERE, "t_end=0.02")
    assert (status, out) == (2, "")
    lines = err.splitlines()
    said = "wgf: s/width-16_degree-1 holds a run of another config (t_end was 0.01 and is 0.02)"
    assert lines[0].startswith(said)
    assert "hydra.sweep.dir=" in lines[0]
    assert lines[3:] == ["wgf: and 1 more such folders"]
    assert (four / "results.csv").read_text() == before


@pytest.mark.parametrize("place", ["file/s", "''"])
def test_a_folder_that_cannot_be_is_refused(wgf, tmp_path: Path, place: str):
    (tmp_path / "file").write_text("")
    status, _, err = wgf("-m", "network.width=4,6", f"hydra.sweep.dir={place}")
    assert status == 2
    assert err.startswith("wgf: hydra.sweep.dir")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "axes", "expected"),
    [
        (["network.width=8", "t_end=1", "network.degree=3"], ["network.width", "network.degree"], "width-8_degree-3"),
        (["pde.m=2", "network.m=3"], ["pde.m", "network.m"], "pde.m-2_network.m-3"),
        (["integrator.dt=1e-3", "+pde.x=-1"], ["integrator.dt", "+pde.x"], "dt-1e-3_x--1"),
    ],
)
def test_names(words: list[str], axes: list[str], expected: str):
    assert name(words, axes) == expected


def test_names_of_any_value_are_short_plain_and_distinct():
    values = ["'x**4/4 - x**2/2'", "'x**4/4 + x**2/2'", "[1,2]", "[1,3]", *("9" * n for n in (200, 201))]
    names = [name([f"potential.expr={value}"], ["potential.expr"]) for value in values]
    assert len(set(names)) == len(values)
    assert all(set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-") and len(text) < 120 for text in names)
