"""The live table and the last table of a sweep."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from wgf.sweep import closing
from wgf.sweep.collate import table
from wgf.sweep.progress import Watch


def put(root: Path, width: int, **found: object) -> None:
    """A job that has ended, or one that waits."""
    folder = root / f"width-{width}"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(f"- network.width={width}\n- t_end=1\n")
    if found:
        (folder / "result.json").write_text(json.dumps({"message": "", "wall_s": 0.5, "evaluations": 1200} | found))


def shown(root: Path) -> str:
    stream, found = io.StringIO(), table(root)
    closing.show(found.rows, found.axes, Console(file=stream))
    return stream.getvalue()


def test_last_table(tmp_path: Path):
    put(tmp_path, 4, status="folded", t_end=0.5)
    put(tmp_path, 8, status="completed", t_end=1.0, w1_error=1.6e-3, w2_error=2e-3, reference_error=1e-9)
    put(tmp_path, 16, status="completed", t_end=1.0, w1_error=1e-4, w2_error=1e-3, reference_error=1e-9)
    put(tmp_path, 32, status="completed", t_end=1.0, w1_error=5e-5, w2_error=1e-3, reference_error=1e-4)
    head, _, *lines = [line.split() for line in shown(tmp_path).splitlines() if line.strip()]
    assert head == ["width", "W1", "error", "order", "(width)", "W2", "error", "bound", "evaluations", "time", "status"]
    assert lines[0] == ["4", "1,200", "0.50", "s", "folded"]
    assert lines[1] == ["8", "1.60e-03", "2.00e-03", "1,200", "0.50", "s", "completed"]
    assert lines[2] == ["16", "1.00e-04", "4.00", "1.00e-03", "1,200", "0.50", "s", "completed"]
    assert lines[3] == ["best", "32", "5.00e-05*", "1.00e-03", "1,200", "0.50", "s", "completed"]
    assert lines[4][0] == "*"


def test_a_large_sweep_shows_its_best_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closing, "MOST", 2)
    for width in (4, 8, 16):
        put(tmp_path, width, status="completed", t_end=1.0, w1_error=1.0 / width, w2_error=1.0)
    text = shown(tmp_path)
    assert " 4 " not in text
    assert "the 2 smallest of 3 W1 errors" in text


def test_errors_of_several_problems_have_no_best(tmp_path: Path):
    for width, error in ((8, 1e-3), (16, 1e-4)):
        put(tmp_path, width, status="completed", t_end=1.0, w1_error=error, w2_error=error)
    found = table(tmp_path).rows
    assert closing.best(found, ["network.width"]) is found[1]
    for axis in ("pde.diffusion", "potential", "law.mean", "t_end", "experiment"):
        assert closing.best(found, ["network.width", axis]) is None
        watch = Watch(tmp_path, 2, [axis])
        watch._count(tmp_path / "width-8", {"status": "completed", "w1_error": 1e-3})
        assert watch._best is None


def test_live_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    watch = Watch(tmp_path, 4, ["network.width"])
    put(tmp_path, 4, status="folded", message="too few")
    put(tmp_path, 8, status="completed", w1_error=1e-3)
    put(tmp_path, 16, status="completed", w1_error=1e-4)
    put(tmp_path, 32)
    assert watch._look() == []
    said = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in said] == ["1/4", "2/4", "3/4"]
    stream = io.StringIO()
    Console(file=stream, width=100).print(watch.table([tmp_path / "width-32"]))
    lines = [" ".join(line.split()) for line in stream.getvalue().splitlines()]
    assert lines[0] == "jobs 3 of 4 done, 1 failed, 1 running"
    assert lines[1] == "time 0 s, about 0 s left"
    assert lines[2:] == ["runs width=32", "best W1 error 1.00e-04: width=16"]
