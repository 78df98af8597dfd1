"""Figures and pages from what a folder holds: complete, honest about what is missing, and whole files or none."""

import base64
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image
from saved_solutions import TITLE, history, solution

from wgf.figures.comparison import convergences, curves, finals
from wgf.sweep import html as page
from wgf.sweep.report import main, report

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
VOID = {"meta", "img", "br"}
OF_RUN = ["density", "energy", "errors", "map", "ridgeline", "slope", "spacetime", "steps"]


class Reader(HTMLParser):
    """What is on a page; a tag that is not closed, or closed twice, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.words: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        assert tag not in ("script", "link", "iframe")
        if tag == "img":
            assert known["alt"]
            self.sources.append(str(known["src"]))
        if tag == "a":
            self.links.append(str(known["href"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.words.setdefault(self.open[-1], []).append(data.strip())


def read(path: Path) -> Reader:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|url\(|@import", text)  # nothing from elsewhere
    return Reader(text)


def pictures(found: Reader) -> list[str]:
    """The kinds of all pictures, each of which can be read."""
    kinds = []
    for source in found.sources:
        kind, _, data = source.partition(";base64,")
        content = base64.b64decode(data, validate=True)
        if kind == "data:image/svg+xml":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        else:
            Image.open(io.BytesIO(content)).verify()
        kinds.append(kind.removeprefix("data:image/"))
    return kinds


def result(**changed: Any) -> dict[str, Any]:
    known = {"status": "completed", "message": "reached the end time", "equation": TITLE, "t_end": 1.0, "t_wanted": 1.0}
    return known | {"steps": 29, "w1_error": 1e-3, "reference_error": 1e-7, "energy": -math.log(2)} | changed


def write(folder: Path, found: dict[str, Any] | None, whole: bool = True, **overrides: Any) -> Path:
    """A run folder as `wgf` leaves it; `found` is the result, None for a run that was killed."""
    (folder / ".hydra").mkdir(parents=True)
    words = [f"{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    (folder / "config.yaml").write_text("t_end: 1.0\nnote: <b>&amp;\n")
    (folder / "provenance.json").write_text('{"seed": 0}')
    rows = history()
    cells = [",".join(map(repr, row)) for row in np.stack(list(rows.values()), axis=1).tolist()]
    (folder / "history.csv").write_text("\n".join([",".join(rows), *cells, ""]))
    if found is not None:
        (folder / "result.json").write_text(json.dumps(found))
    if whole:
        solution(4).save(folder / "solution.npz")
    return folder


def refused(capsys: Captured, monkeypatch: Patch, *words: str) -> str:
    """The one line with which the command refuses something."""
    monkeypatch.setattr(sys, "argv", ["wgf-report", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err.strip()


# a run


def test_page_of_a_run(tmp_path: Path):
    folder = write(tmp_path / "run", result())
    assert report(folder) == folder / "report.html"
    names = sorted(path.name for path in (folder / "figures").iterdir())
    assert names == sorted([f"{name}.{kind}" for name in OF_RUN for kind in ("png", "pdf")] + ["evolution.gif"])
    with Image.open(folder / "figures" / "density.png") as picture:
        assert picture.size == (1200, 800)
    assert all((folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF") for name in OF_RUN)
    found = read(folder / "report.html")
    assert sorted(pictures(found)) == ["gif", *["svg+xml"] * 8]
    assert found.words["h1"] == [TITLE]
    assert found.words["span"] == ["completed"]
    assert "1.0000e-03 (ln -6.908)" in found.words["td"]
    assert "t_end: 1.0\nnote: <b>&amp;" in found.words["pre"][0]  # as it stands in the file


def test_page_of_a_run_that_was_killed(tmp_path: Path):
    folder = write(tmp_path / "run", None, whole=False)
    with open(folder / "history.csv", "a") as file:
        file.write("30,1.1,0")  # in the middle of a line
    found = read(report(folder))
    assert found.words["span"] == ["no result"]
    assert pictures(found) == ["svg+xml", "svg+xml"]
    assert sorted(path.name for path in (folder / "figures").glob("*.png")) == ["energy.png", "steps.png"]


def test_page_of_a_run_that_never_began(tmp_path: Path):
    folder = write(tmp_path / "run", result(status="not_finite", w1_error=None), whole=False)
    (folder / "history.csv").write_text("step,t,dt,energy,dissipation,mean,second_moment,min_slope,rejected\n")
    found = read(report(folder))
    assert found.words["span"] == ["not_finite"]
    assert pictures(found) == []
    assert "Figures" not in found.words["h2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("result.json", b"{"),
        ("result.json", b"[1]"),
        ("result.json", b"\xff\xfe"),
        ("history.csv", b"step,t\n1,2,3\n"),
        ("history.csv", b"step,t\n1,2\n"),
        ("solution.npz", b"PK"),
        ("solution.npz", b""),
        ("solution.npz", None),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: Patch,
    name: str,
    content: bytes | None,
):
    folder = write(tmp_path / "run", result())
    if content is None:
        np.savez(folder / name, t=np.zeros(2), z=np.zeros(3), T=np.zeros(1), dT=np.zeros(1), rho0=np.zeros(1))
    else:
        (folder / name).write_bytes(content)
    line = refused(capsys, monkeypatch, str(folder))
    assert line.startswith(f"wgf-report: {folder / name} is damaged: ")
    assert not (folder / "report.html").exists()
    assert not (folder / "figures").exists()


def test_what_is_no_run(tmp_path: Path, capsys: Captured, monkeypatch: Patch):
    assert "does not exist" in refused(capsys, monkeypatch, str(tmp_path / "nosuch"))
    assert "holds no runs" in refused(capsys, monkeypatch, str(tmp_path))
    (tmp_path / "file").touch()
    assert "is a file" in refused(capsys, monkeypatch, str(tmp_path / "file"))
    for words in ((), ("a", "b"), ("--pdf",)):
        assert refused(capsys, monkeypatch, *words).startswith("usage: wgf-report DIR")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_help(capsys: Captured, monkeypatch: Patch):
    monkeypatch.setattr(sys, "argv", ["wgf-report", "--help"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("usage: wgf-report DIR")


def test_the_command(tmp_path: Path):
    write(tmp_path / "run", None, whole=False)
    words = [sys.executable, "-m", "wgf.sweep.report", "run"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "report in   run/report.html\n", "")


# many runs


def sweep(root: Path) -> Path:
    """Widths x degrees with errors of exactly second and fourth order, and a job that failed."""
    number = 0
    for degree, order in ((1, 2), (3, 4)):
        for width in (4, 8, 16):
            found = result(w1_error=width**-order, wall_s=width / 10)
            write(root / str(number), found, whole=width == 16, network__width=width, network__degree=degree)
            number += 1
    write(root / "9", result(status="folded", message="it folded", w1_error=None), False, network__width=2)
    return root


def test_page_of_a_sweep(tmp_path: Path):
    root = sweep(tmp_path / "sweep")
    report(root / "0")
    found = read(report(root))
    names = ["convergence-degree", "convergence-width", "cost", "final"]
    wanted = sorted(f"{name}.{kind}" for name in names for kind in ("png", "pdf"))
    assert sorted(path.name for path in (root / "figures").iterdir()) == wanted
    assert pictures(found) == ["svg+xml"] * 4
    assert found.words["span"] == ["incomplete"]
    assert "7 jobs: 6 completed, 1 folded" in found.words["p"]
    assert {"network.width", "network.degree", "w1_error"} <= set(found.words["th"])
    assert found.words["td"].count("completed") == 6
    assert "it folded" in found.words["td"]
    assert "reached the end time" not in found.words["td"]
    assert found.links == ["0/report.html"]


def test_errors_that_may_be_the_references_are_marked(tmp_path: Path):
    for k, width in enumerate((4, 8, 16)):
        error = max(width**-2.0, 1e-2)
        found = result(w1_error=error, w2_error=error, reference_error=4e-3, reference_w2_error=4e-3, wall_s=1.0)
        write(tmp_path / str(k), found, whole=False, network__width=width)
    page_of = read(report(tmp_path))
    assert [word for word in page_of.words["td"] if word.endswith("*")] == ["0.01*"] * 2
    assert any(word.startswith("* not clearly above") for word in page_of.words["p"])


def test_a_sweep_without_a_single_result(tmp_path: Path):
    write(tmp_path / "sweep" / "0", None, whole=False, seed=0)
    write(tmp_path / "sweep" / "1", None, whole=False, seed=1)
    assert pictures(read(report(tmp_path / "sweep"))) == []


def test_a_damaged_job_is_named(tmp_path: Path, capsys: Captured, monkeypatch: Patch):
    root = sweep(tmp_path / "sweep")
    (root / "2" / "solution.npz").write_bytes(b"")
    assert str(root / "2" / "solution.npz") in refused(capsys, monkeypatch, str(root))
    assert not (root / "report.html").exists()


ROWS = [
    {"network.width": str(m), "network.degree": str(k), "seed": "0", "status": "completed"}
    | {"w1_error": m ** -(k + 1.0), "wall_s": 0.1 * m}
    for k in (1, 3)
    for m in (4, 8, 16)
]


def test_convergence_in_what_was_refined():
    axes = ["network.width", "network.degree"]
    other = ROWS[0] | {"network.width": "32"}
    found = convergences(axes, [*ROWS, other | {"w1_error": None}, other | {"status": "folded", "w1_error": 1.0}])
    assert list(found) == ["convergence-width", "convergence-degree", "cost"]
    legend = found["convergence-width"].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["degree=1, slope -2.00", "degree=3, slope -4.00"]
    assert found["convergence-width"].axes[0].get_xlabel().startswith("width")
    unclear = other | {"w1_error": 1e-2, "w1_clear": False}
    assert len(convergences(axes, [*ROWS, unclear])["convergence-width"].axes[0].lines[1].get_xdata()) == 3
    assert convergences(["seed"], ROWS[:1]) == {}
    assert list(convergences(["seed"], ROWS)) == ["cost"]


def test_curves_of_the_other_axes():
    found = curves("network.width", ["network.width", "network.degree"], ROWS)
    assert list(found) == ["degree=1", "degree=3"]
    assert found["degree=3"] == ([4.0, 8.0, 16.0], [4**-4, 8**-4, 16**-4])
    assert curves("network.width", ["network.width"], [{"network.width": "auto", "w1_error": 1.0}]) == {}


@pytest.mark.parametrize("count", [1, 3, 12])
def test_densities_at_the_end(count: int):
    figure = finals({f"job=${k}": solution(2, exact=k < 5) for k in range(count)})
    lines = figure.axes[0].lines
    assert len(lines) == count + (count < 6)
    assert np.trapezoid(lines[0].get_ydata(), lines[0].get_xdata()) == pytest.approx(1.0, abs=1e-6)
    figure.canvas.draw()


# pages


def test_what_is_written_is_escaped():
    nasty = "<script>alert('\"&')</script>"
    text = page.page(
        nasty,
        [
            page.head(nasty, nasty, False, nasty),
            page.facts([(nasty, nasty)]),
            page.rows([nasty], [[nasty]], ['"><script>']),
            page.listing(nasty, nasty),
            page.figure(b"", "png", nasty),
        ],
    )
    found = Reader(text)
    assert found.words["h1"] == [nasty]
    assert found.links == ['"><script>']


def test_numbers_stand_on_the_right():
    text = page.rows(["name", "error"], [["a", "1e-3"], ["b", ""]])
    assert text.count('class="number"') == 3
    assert '<td class="number">1e-3</td>' in text
