"""The live table and the last table of a sweep."""

import io
import json
import os
import re
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import pytest
from command_line import called
from rich.console import Console

from wgf.sweep import closing, collate, study
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
    assert head == ["width", "W1", "error", "order", "(width)", "W2", "error", "evaluations", "time", "status"]
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
    assert lines[1] == "time 0 s, left unknown"  # none of them began
    assert lines[2:] == ["runs width=32", "best W1 error 1.00e-04: width=16"]


def test_the_time_left_is_that_of_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The workers load for ten seconds; then two of six jobs take four seconds, side by side."""
    clock = Mock(time=Mock(return_value=1000.0))
    monkeypatch.setattr("wgf.sweep.progress.time", clock)
    watch = Watch(tmp_path, 6, ["network.width"])

    def left(now: float) -> str:
        clock.time.return_value = now
        watch._look()
        stream = io.StringIO()
        Console(file=stream, width=100).print(watch.table([]))
        return " ".join(stream.getvalue().splitlines()[1].split())

    assert left(1009.0) == "time 9 s, left unknown"
    for width in (4, 8, 16):
        put(tmp_path, width, **({"status": "completed", "w1_error": 1e-3} if width < 16 else {}))
        (tmp_path / f"width-{width}" / "config.yaml").write_text("")
        os.utime(tmp_path / f"width-{width}" / "config.yaml", (1010.0, 1010.0))
    assert left(1014.0) == "time 14 s, about 8 s left"
    assert left(1017.0) == "time 17 s, about 5 s left"
    assert left(1034.0) == "time 34 s, about 20 s left"  # the third job takes longer than the others


# narrow terminals


@pytest.fixture(params=[60, 80, 100, 140])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Letters in a line of the terminal."""
    for variable, value in {"TTY_COMPATIBLE": "1", "COLUMNS": str(request.param), "NO_COLOR": "1"}.items():
        monkeypatch.setenv(variable, value)
    return request.param


@pytest.fixture(params=[["width"], ["width", "degree"]], ids=len)
def swept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A sweep of one or two axes with every number a job can have; its last job folded."""
    for job, place in enumerate(product((8, 16, 128), *[(1, 3, 5)] * (len(request.param) - 1))):
        folder = tmp_path / f"job{job}"
        (folder / ".hydra").mkdir(parents=True)
        words = [f"- network.{name}={value}\n" for name, value in zip(request.param, place, strict=True)]
        (folder / ".hydra" / "overrides.yaml").write_text("".join(words))
        (folder / "config.yaml").write_text("dtype: float64\n")
        error = 9.125e-6 / place[0] ** place[-1]
        found = {"message": "", "wall_s": 123.45, "evaluations": 1234567, "status": "completed", "t_end": 1.0}
        found |= {"w1_error": error, "w2_error": 2 * error, "w2_best": error, "w2_bound": 3 * error}
        (folder / "result.json").write_text(json.dumps(found))
    (folder / "result.json").write_text(json.dumps(found | {"status": "step_too_small"}))
    return tmp_path


COMMANDS = {"collate": collate.main, "study": study.main}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_number_is_cut(swept: Path, width: int, command: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study, "save", lambda *_: [])
    status, out, err = called(swept, str(swept), main=COMMANDS[command])
    assert status == (command == "study"), err
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    lines = re.split(r"\nstep_too_small: |\n\d+ runs, ", plain)[0].splitlines()
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert max(map(len, lines)) <= width
    found = {"collate": table, "study": study.read}[command](swept)
    for row in found.rows:
        assert command == "collate" or any(f" {row['w2_error']:.2e} " in line for line in lines)
        numbers = [row[axis] for axis in found.axes] + [f"{row['w1_error']:.2e}"]
        assert [line for line in lines if line.replace("best", "").split()[: len(numbers)] == numbers], numbers
    marked = [line.split()[1:] for line in lines if "best " in line and "e-" in line]
    assert [line[-1] for line in marked] == ["completed"]
    assert float(marked[0][len(found.axes)]) == min(float(f"{row['w1_error']:.2e}") for row in found.rows[:-1])
    heads = re.split(r" {2,}", next(line for line in lines if "status" in line).strip())
    every = [*heads[: len(found.axes)], "W1 error", "order (width)", "W2 error", "bound", "time", "evaluations"]
    spare = [name for name in reversed(every) if name not in heads]
    assert spare == every[::-1][: len(spare)]  # the same columns go first on every terminal
    said = " ".join(" ".join(lines).split())
    file = {"collate": "results.csv", "study": "study.csv"}[command]
    assert (f"no room for {', '.join(spare)}: {file} has all numbers" in said) == bool(spare)
    assert bool(spare) == (width < (115 if len(found.axes) == 2 else 107))


@pytest.mark.usefixtures("width")
def test_live_table_loses_no_letter(swept: Path):
    watch = Watch(swept, 12, [*table(swept).axes, "potential.expr"])
    watch._best = 1.234e-5, "potential.expr=" + "x**4+" * 30 + "x"
    watch._console.file = io.StringIO()
    watch._console.print(watch.table(sorted(swept.glob("job*"))[:3]))
    text = re.sub(r"\s", "", watch._console.file.getvalue())
    assert "W1error1.23e-05:potential.expr=" + "x**4+" * 30 + "x" in text
    assert text.count("width=8") == 1 + 2 * (len(table(swept).axes) == 2)
