"""The wheel: it holds all it needs, and runs where there is no checkout."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ("pyproject.toml", "README.md", "wgf", "configs")


def python(folder: Path, *words: str, path: Path | None = None) -> str:
    """What a fresh interpreter prints, modules from `path` first."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    answer = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    python(copy, "-m", "build", "--wheel", "--no-isolation")
    (found,) = (copy / "dist").glob("wgf-*.whl")
    return found


def test_wheel(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "wgf = wgf.cli:command" in archive.read(entry_points).decode()
    assert {"wgf/py.typed", "wgf/configs/config.yaml"} <= names
    shipped = {f"wgf/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    own = [path for path in (ROOT / "wgf").rglob("*.*") if "__pycache__" not in path.parts]
    shipped |= {path.relative_to(ROOT).as_posix() for path in own}
    assert shipped <= names
    folders = {name.split("/")[0] for name in names}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"wgf"}

    site, place = tmp_path / "site", tmp_path / "elsewhere"
    place.mkdir()
    python(place, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    printed = python(place, "-c", "import wgf.cli; print(wgf.__file__); print(wgf.cli.CONFIGS)", path=site)
    assert printed.split() == [str(site / "wgf" / "__init__.py"), str(site / "wgf" / "configs")]

    # a mark in the installed configs, which the checkout's have not
    smoke = site / "wgf" / "configs" / "debug" / "smoke.yaml"
    text = smoke.read_text()
    assert "t_end: 0.01\n" in text
    smoke.write_text(text.replace("t_end: 0.01\n", "t_end: 0.005\n"))
    python(place, "-m", "wgf.cli", "debug=smoke", path=site)
    (result,) = place.glob("outputs/*/*/result.json")
    assert json.loads(result.read_text())["status"] == "completed"
    assert json.loads(result.read_text())["t_end"] == 0.005
    assert [path.name for path in place.iterdir()] == ["outputs"]
