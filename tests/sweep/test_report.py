"""Figures and pages from what a folder holds: complete, honest about what is missing, and whole files or none."""

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import called
from command_line import wgf as command
from pages import Reader
from PIL import Image
from run_pages import result, sweep, write
from saved_solutions import TITLE

from wgf.figures.animation import kinds as films
from wgf.sweep import working
from wgf.sweep.report import main, report

OF_RUN = ["density", "energy", "errors", "map", "ridgeline", "slope", "spacetime", "steps"]


def read(path: Path) -> Reader:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|url\(|@import|fetch\(", text)  # nothing from elsewhere
    assert "default-src 'none'" in text  # and the browser refuses it
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


def refused(*words: str) -> str:
    """The one line with which the command refuses something."""
    status, out, err = called(Path(), *words, main=main)
    assert (status, out, err.count("\n")) == (2, "", 1)
    return err.strip()


def names(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def kinds(stems: list[str]) -> list[str]:
    """The files of pictures."""
    return sorted(f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf"))


# a run


def test_page_of_a_run(tmp_path: Path):
    folder = write(tmp_path / "run", result(), seed=3)
    assert report(folder) == folder / "report.html"
    assert names(folder / "figures") == sorted([*kinds(OF_RUN), *(f"evolution{kind}" for kind in films())])
    with Image.open(folder / "figures" / "density.png") as picture:
        assert picture.size == (1200, 800)
    assert all((folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF") for name in OF_RUN)
    found = read(folder / "report.html")
    assert pictures(found) == ["svg+xml"] * 8
    assert found.words["h1"] == [TITLE]
    assert found.words["span"][0] == "completed"
    assert found.words["dt"] == ["status", "W1 error", "energy"]
    assert found.words["strong"] == ["completed", "1.0e-03", "-0.693147"]
    assert found.words["code"] == ["wgf seed=3"]
    assert "The density at t = 0, 0.25, 0.5, 0.75, 1." in found.words["figcaption"]
    assert "1.0000e-03 (ln -6.908)" in found.words["td"]
    assert "t_end: 1.0\nnote: <b>&amp;" in found.words["pre"][0]  # as it stands in the file


def test_page_of_a_run_that_was_killed(tmp_path: Path):
    folder = write(tmp_path / "run", None, whole=False)
    with open(folder / "history.csv", "a") as file:
        file.write("30,1.1,0")  # in the middle of a line
    answer = called(tmp_path, "run", main=main)
    assert answer == (0, "report in   run/report.html\n", "figures: energy, steps\n")
    found = read(folder / "report.html")
    assert found.words["span"] == ["no result"]
    assert pictures(found) == ["svg+xml", "svg+xml"]
    assert names(folder / "figures", "*.png") == ["energy.png", "steps.png"]


def test_page_of_a_run_that_never_began(tmp_path: Path):
    folder = write(tmp_path / "run", result(status="not_finite", w1_error=None), whole=False)
    (folder / "history.csv").write_text("step,t,dt,energy,dissipation,mean,second_moment,min_slope,rejected\n")
    found = read(report(folder))
    assert found.words["span"] == ["not_finite"]
    assert pictures(found) == []
    assert "Figures" not in found.words["h2"]


WRONG = {key: np.zeros(size) for key, size in {"t": 2, "z": 3, "T": 1, "dT": 1, "rho0": 1}.items()}
DAMAGED = {
    "result.json": [b"{", b"[1]", b"\xff\xfe"],
    "history.csv": [b"step,t\n1,2,3\n", b"step,t\n1,2\n"],
    "solution.npz": [b"PK", b"", None],
}


@pytest.mark.parametrize(("name", "content"), [(name, content) for name in DAMAGED for content in DAMAGED[name]])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes | None):
    folder = write(tmp_path / "run", result())
    if content is None:
        np.savez(folder / name, **WRONG)
    else:
        (folder / name).write_bytes(content)
    assert refused(str(folder)).startswith(f"wgf-report: {folder / name} is damaged: ")
    assert not (folder / "report.html").exists()
    assert not (folder / "figures").exists()


def test_what_is_no_run(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, said in (("nosuch", "does not exist"), ("empty", "holds no runs"), ("file", "is a file")):
        assert said in refused(str(tmp_path / name))
    for words in ((), ("a", "b"), ("--pdf",)):
        assert refused(*words).startswith("usage: wgf-report DIR")
    assert names(tmp_path) == ["empty", "file"]


def test_the_command(tmp_path: Path):
    answer = command(tmp_path, "--help", start=("-m", "wgf.sweep.report"))
    assert (answer.returncode, answer.stdout[:21], answer.stderr) == (0, "usage: wgf-report DIR", "")


def test_a_terminal_counts_the_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(working.counted("figures", {"map": 1, "slope": 2})) == [("map", 1), ("slope", 2)]
    with working.working("writing"):
        pass
    said = capsys.readouterr().err
    assert "figures 1 of 2: map" in said or "figures 2 of 2: slope" in said
    assert "writing" in said


# many runs


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with its page, one of whose jobs had a page before."""
    root = sweep(tmp_path_factory.mktemp("reported") / "sweep")
    (root / "0" / "report.html").write_text("drawn before")
    assert report(root) == root / "report.html"
    return root


def test_page_of_a_sweep(swept: Path, tmp_path: Path):
    root, found = swept, read(swept / "report.html")
    assert names(root / "figures") == kinds(["convergence-degree", "convergence-width", "cost", "final"])
    assert pictures(found) == ["svg+xml"] * 4
    assert found.words["span"] == ["incomplete", "best", "best"]
    assert "7 jobs: 6 completed, 1 folded" in found.words["p"]
    heads = "job,W1 error,width,degree,order (width),evaluations,parameters,status"
    assert found.words["button"][:-1] == heads.split(",")
    assert found.words["td"].count("completed") == 6
    assert "folded: it folded" in found.words["td"]
    assert "2.00" in found.words["td"]
    assert "4.00" in found.words["td"]
    assert set(found.links) == {f"{job}/report.html" for job in (0, 1, 2, 3, 4, 5, 9)}
    assert found.words["code"] == ["wgf network.width=16 network.degree=3"]
    assert "This command repeats the best job:" in found.words["p"]
    assert found.words["summary"] == ["config.yaml of the best job, 5"]
    assert found.words["h1"] == ["Runs in sweep"]
    for job, width, degree in (("0", 4, 1), ("1", 8, 3)):
        write(tmp_path / job, None, whole=False, network__width=width, network__degree=degree)
    (tmp_path / "multirun.yaml").touch()
    assert read(report(tmp_path)).words["h1"] == ["Sweep over network.width, network.degree"]


def test_every_job_has_a_page(swept: Path):
    assert (swept / "0" / "report.html").read_text() == "drawn before"
    assert pictures(read(swept / "5" / "report.html")) == []
    assert not (swept / "5" / "figures").exists()
    assert read(swept / "9" / "report.html").words["span"] == ["folded"]


def test_errors_that_may_be_the_references_are_marked(tmp_path: Path):
    for k, width in enumerate((4, 8, 16)):
        error = max(width**-2.0, 1e-2)
        found = result(w1_error=error, w2_error=error, reference_error=4e-3, reference_w2_error=4e-3, wall_s=1.0)
        write(tmp_path / str(k), found, whole=False, network__width=width)
    page_of = read(report(tmp_path))
    assert [word for word in page_of.words["td"] if word.endswith("*")] == ["1.0e-02*"] * 2
    assert any(word.startswith("* not clearly above") for word in page_of.words["p"])


def test_a_sweep_without_a_single_result(tmp_path: Path):
    for seed in (0, 1):
        write(tmp_path / "sweep" / str(seed), None, whole=False, seed=seed)
    assert pictures(read(report(tmp_path / "sweep"))) == []


def test_a_damaged_job_is_named(tmp_path: Path):
    root = sweep(tmp_path / "sweep")
    (root / "2" / "solution.npz").write_bytes(b"")
    assert str(root / "2" / "solution.npz") in refused(str(root))
    assert not (root / "report.html").exists()
