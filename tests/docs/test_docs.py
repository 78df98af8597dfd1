"""What the documentation shows is what there is, and it works."""

import math
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from chebyshev import differentiation
from composed_configs import changed, composed
from loaded_scripts import script
from omegaconf import OmegaConf
from scipy.integrate import solve_ivp

import wgf
from wgf.integrators.status import Status
from wgf.result import Result
from wgf.run import runner
from wgf.settings.check import CONFIGS, GROUPS, check
from wgf.settings.check import ROOT as ROOT_KEYS
from wgf.sweep import launch

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGES = sorted([ROOT / "README.md", ROOT / "docs" / "tutorial.py", *ROOT.glob("docs/**/*.md")])
INDEX = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"`docs/examples/([\w/]+\.\w+)`:\n\n```\w+\n(.*?)```", EXTENDING, re.DOTALL))


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONPATH=docs/examples, and nothing of it left."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "tutorial.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert err == ""
    assert "completed: reached the end time" in out
    assert not list(tmp_path.iterdir())


def test_the_five_lines_run(capsys: pytest.CaptureFixture[str]):
    (block,) = re.findall(r"```python\n(.*?)```", INDEX, re.DOTALL)
    assert len(block.splitlines()) <= 5
    scope: dict = {}
    exec(block, scope)
    assert float(capsys.readouterr().out.split()[-1]) < 2e-5
    names = re.findall(r"flow\.(\w+)", INDEX)
    assert len(names) > 15
    assert all(hasattr(scope["flow"], name) for name in names)
    for name in ("density", "ridgeline", "spacetime", "map", "slope", "errors"):
        assert scope["flow"].plot(name).axes


# extending


def test_the_page_shows_the_files():
    files = {
        path.relative_to(EXAMPLES).as_posix(): path for path in EXAMPLES.rglob("*") if path.suffix in (".py", ".yaml")
    }
    assert {name: path.read_text(encoding="utf-8") for name, path in files.items()} == SHOWN


@pytest.mark.parametrize("name", [name for name in SHOWN if name.endswith(".py")])
def test_an_extension_is_twenty_lines_and_one_yaml(name: str):
    assert len([line for line in SHOWN[name].splitlines() if line.strip()]) <= 20
    naming = [text for text in SHOWN.values() if text.startswith(f"_target_: {Path(name).stem}.")]
    assert len(naming) == 1


def test_its_checks_hold(examples):
    blocks = re.findall(r"(?<!`:)\n\n```python\n(.*?)```", EXTENDING, re.DOTALL)
    assert len(blocks) == 4
    scope: dict = {}
    for block in blocks:
        assert "assert" in block
        exec(block, scope)


@pytest.mark.parametrize("line", re.findall(r"^    PYTHONPATH=docs/examples wgf (.*)$", EXTENDING, re.MULTILINE))
def test_its_command_lines_run(examples, line: str, tmp_path: Path):
    option, folder, *overrides = line.split()
    assert (option, folder) == ("--config-dir", "docs/examples")
    cfg = composed(*overrides, "logger=none", "figures=false", "reference_solution=none", config_dir=ROOT / folder)
    check(cfg)
    result = runner.run(runner.build(cfg), cfg, tmp_path).as_dict()
    assert result["status"] == "completed"
    assert result["energy"] < 10


def test_exclusion_in_time(examples):
    """rho_t = (9 x rho + rho_x / (1 - rho))_x by collocation in x, from N(0, 1)."""
    from fermi import Exclusion

    d, s = differentiation(200)
    d, x = d / 6, 6 * s
    inner = slice(1, -1)  # rho = 0 at both ends

    def rate(t: float, rho: np.ndarray) -> np.ndarray:
        flux = 9 * x * np.pad(rho, 1) + d[:, inner] @ rho / (1 - np.pad(rho, 1))
        return (d @ flux)[inner]

    def jacobian(t: float, rho: np.ndarray) -> np.ndarray:
        whole = np.pad(rho, 1)
        slope = d[:, inner] @ rho
        flux = np.diag(9 * x + slope / (1 - whole) ** 2)[:, inner] + d[:, inner] / (1 - whole)[:, None]
        return (d @ flux)[inner]

    start = np.exp(-(x[inner] ** 2) / 2) / np.sqrt(2 * np.pi)
    path = solve_ivp(rate, (0.0, 0.05), start, method="BDF", jac=jacobian, rtol=1e-9, atol=1e-11)
    network = wgf.Spline(64, 5, 5.0, base=wgf.Gaussian())
    tight = wgf.Rodas4(rtol=1e-8, atol=1e-10)
    bowl = wgf.potentials.Quadratic(9.0)
    flow = wgf.solve(Exclusion(), potential=bowl, network=network, integrator=tight, t_end=0.05, saves=1)
    assert flow.status is Status.completed
    assert np.abs(flow.density(0.05, x[inner]) - path.y[:, -1]).max() < 1e-6
    assert "U = Fermi" in flow.problem.equation


def test_its_finite_volumes_agree(examples):
    from fermi import Exclusion

    network = wgf.Spline(64, 5, 5.0, base=wgf.Gaussian())
    flow = wgf.solve(Exclusion(), potential="9*x**2/2", network=network, t_end=0.05, saves=1)
    assert flow.reference_solution.error < 2e-8
    assert flow.w1(flow.reference_solution) < 1e-7


# the reference of settings


def test_the_reference_of_settings_is_up_to_date():
    reference = script("config_reference")
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.page(), "run python scripts/config_reference.py"
    assert [line for line in text.splitlines() if line.startswith("| `pde.chi`")] == [
        "| `pde.chi` | `0.5` | a finite number >= 0 | |"
    ]
    for file in CONFIGS.glob("[a-z]*/*.yaml"):
        group = file.parent.name
        assert f"{group}={file.stem}" in text
        if group in GROUPS:
            assert all(
                f"| `{group}.{key}` |" in text for key in OmegaConf.load(file) if key not in ("_target_", "defaults")
            )
    assert all(f"| `{key}` |" in text for key in ROOT_KEYS)


def test_every_number_of_a_result_is_explained():
    reference = script("config_reference")
    text = reference.RUNS.read_text(encoding="utf-8")
    assert text == reference.runs(), "run python scripts/config_reference.py"
    assert "| `w2_best` | smallest W2 error that a map of this network can have | length |" in text.splitlines()
    assert all(f"| `{name}` |" in text for name in Result(unsaved="x").as_dict())


# all pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not dead


def test_every_page_can_be_found():
    pages = {path.name for path in (ROOT / "docs").glob("*.*")} - {"README.md", "zensical.toml"}
    assert {page for page in pages if f"]({page})" in INDEX} == pages


# sweeps

PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8").replace("\\\n", " ")
SWEEPS = [
    shlex.split(line, comments=True)[1:] for line in re.findall(r"^ +(wgf(?:-study)? .*=.*)$", PAGE, re.MULTILINE)
]


@pytest.mark.parametrize("words", SWEEPS, ids=[words[-1] for words in SWEEPS])
def test_the_sweeps_of_the_page_can_begin(words: list[str]):
    axes = list(launch._axes([word for word in words if word != "-m" and not word.startswith("hydra")]))
    ends = [axis if len(axis) <= 5 else [axis[0], axis[-1]] for axis in axes]
    config = composed if {axis[0].partition("=")[0] for axis in axes} & {*GROUPS} else changed
    for choice in launch._each_value(ends):
        check(config(*choice))


def test_the_arrays_of_the_page_have_the_jobs_that_it_names():
    chunks, array = [words for words in SWEEPS if "hydra/launcher=slurm" in words]
    jobs = [math.prod(map(len, launch._axes(words[1:]))) for words in (chunks, array)]
    assert f"one array of {jobs[1]} jobs" in PAGE
    size = int(chunks[-1].removeprefix("hydra.sweeper.jobs_per_task="))
    assert f"submits {math.ceil(jobs[0] / size)} tasks for {jobs[0]} jobs" in PAGE
