"""The table of a sweep and its figures, by the sweep itself or by wgf-collate."""

import json
import math
from pathlib import Path
from unittest.mock import Mock

import pytest
from run_folders import result, results
from small_sweeps import HERE

from wgf.result import compared
from wgf.settings.check import ROOT
from wgf.sweep import collate as sweep
from wgf.sweep import job_folder as job


def test_a_sweep_leaves_one_row_per_job(four_jobs: tuple[Path, str]):
    place, out = four_jobs
    found = results(place / "s")
    names = ["width-4_degree-1", "width-4_degree-3", "width-16_degree-1", "width-16_degree-3"]
    assert [row["job"] for row in found] == names  # 4 before 16
    assert list(found[0])[:5] == ["job", "network.width", "network.degree", "status", "message"]
    for row in found:
        figures = result(place / "s" / row["job"])
        assert set(row) == {"job", "network.width", "network.degree", "w1_clear", "w2_clear", *figures}
        assert row["w1_clear"] == row["w2_clear"] == "True"
        for key, number in figures.items():
            assert row[key] == ("" if number is None else number if isinstance(number, str) else repr(number))
        assert (place / "s" / row["job"] / "provenance.json").exists()
    assert {row["status"] for row in found} == {"completed"}
    lines = [line for line in out.splitlines() if "/4  completed  W1 error=" in line]
    assert sorted(line[:3] for line in lines) == ["1/4", "2/4", "3/4", "4/4"]
    assert "4 jobs: 4 completed" in out
    assert sorted(path.name for path in place.iterdir()) == ["s"]  # nothing lands beside it
    assert not (place / "s" / "figures").exists()  # figures=false in debug=smoke


def test_the_figures_of_a_sweep(tmp_path: Path):
    """From the folders alone: the same rows make the same figures."""
    for width in (4, 8):
        folder = tmp_path / f"width-{width}"
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "overrides.yaml").write_text(f"- network.width={width}\n")
        (folder / "config.yaml").write_text(f"figures: {width == 8}\nnetwork: {{width: {width}}}\n")
        found = {"status": "completed", "message": "", "w1_error": 1 / width**2, "evaluations": 9, "parameters": width}
        (folder / "result.json").write_text(json.dumps(found))
    sweep.collate(tmp_path)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["convergence-width.png", "cost.png"]
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_sweep_that_refines_nothing_has_a_figure(wgf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["-m", "pde=fokker_planck", "pde.diffusion=0.5,1", "reference_solution=none", *HERE, "figures=true"]
    with monkeypatch.context() as patch:
        patch.setattr("wgf.run.callbacks.figures.Figures.finish", Mock())  # those of the jobs
        assert wgf(*words)[0] == 0
    folder = tmp_path / "s"
    assert [path.name for path in (folder / "figures").iterdir()] == ["final.png"]
    (folder / "figures" / "final.png").unlink()
    (folder / "diffusion-1" / "solution.npz").write_bytes(b"PK")  # damaged: wgf-report says so
    sweep.collate(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["final.png"]


def test_collate_by_command(wgf, four: Path):
    before = (four / "results.csv").read_bytes()
    (four / "results.csv").unlink()
    status, out, _ = wgf("s", main=sweep.main)
    assert status == 0
    assert "4 jobs: 4 completed" in out
    assert (four / "results.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"), [(["nowhere"], "nowhere holds no runs"), ([], "usage"), (["a", "b"], "usage")]
)
def test_collate_refuses(wgf, words: list[str], said: str):
    status, out, err = wgf(*words, main=sweep.main)
    assert status == 2
    assert said in out + err


def test_objectives_that_are_offered_are_figures(four_jobs: tuple[Path, str]):
    known = result(four_jobs[0] / "s" / "width-4_degree-3")
    assert math.isfinite(job.objective(known, "*".join(compared())))
    assert not ROOT["objective"].admits("w1_error*colour")
