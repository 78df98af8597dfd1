"""Whatever is asked for either runs or is refused in clear lines: thousands of drawn overrides, flags, files, words."""

import contextlib
import io
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from composed_configs import changed, choices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from wgf import cli
from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, evolve
from wgf.run import runner
from wgf.run.build import build
from wgf.settings.check import CONFIGS, GROUPS, ROOT, check
from wgf.settings.constructors import settings as settings_of

MENDS = re.compile(
    r"expected|did you mean|options: |say |use |give |choose |lower |raise |allowed|at most|write it|see wgf|must be|drop"
)


def clear(line: str) -> None:
    """A line says what is wrong and how to mend it, in words, once."""
    assert line == line.strip() != ""
    assert line.isprintable(), ascii(line)
    assert len(line) < 1000, line
    assert MENDS.search(line), line
    for word in ("Traceback", "object at 0x", "site-packages", "File "):
        assert word not in line, line


# values

NUMBERS: list[Any] = [
    *(0, 1, 2, 3, -1, 0.5, 1e-3, -0.0, 2.0, 1e9, 10**25, -(10**25), 1e-300, 1e300, 1e308, -1e300, 5e-324),
    *(math.nan, math.inf, -math.inf, True, False, None, "", "1", "abc", "é", "x" * 3000, [], [1.0], [1.0, "a"], {}),
    *({"a": 1}, {"_target_": "os.system"}, "${seed}", "${nowhere}", [math.nan, 1.0], "../..", "nan", "a\nb"),
]
KEYS = [key for key in ROOT if key != "device"]
SOME = st.one_of(st.sampled_from(NUMBERS), st.floats(), st.floats(0, 2), st.integers(-3, 12), st.text(max_size=5))


@st.composite
def configs(draw) -> DictConfig:
    """The main job with drawn choices and drawn settings, wanted ones and others."""
    cfg = changed("logger=null", "network.width=5", "t_end=0.01", "saves=1", "figures=false")
    for group in GROUPS:
        choice = draw(st.sampled_from(choices(group))) if draw(st.booleans()) else None
        if group == "logger":
            choice = "none"
        if choice is not None:
            cfg[group] = OmegaConf.load(CONFIGS / group / f"{choice}.yaml")
    for group in ("network", "integrator"):
        if "width" in cfg[group]:
            cfg[group].width = 5
    if cfg.potential.get("expr") == "???":
        cfg.potential.expr = draw(st.sampled_from(["x**2", "-x**4", "1/x", "exp(x)", "9**9**9", "abs(x)", "log(x)"]))
    if "particles" in cfg.quadrature:
        cfg.quadrature.particles = 50
    if "dt" in cfg.integrator:
        cfg.integrator.dt = 1e-3
    OmegaConf.set_struct(cfg, False)
    known_keys = {group: [*(settings_of(cfg[group]._target_) or {})] for group in GROUPS}
    for _ in range(draw(st.integers(0, 6))):
        group = draw(st.sampled_from(["", *GROUPS]))
        place = cfg[group] if group else cfg
        known = KEYS if not group else known_keys[group]
        place[draw(st.sampled_from([*known, *known, *known, "widht", "_target_", "_args_"]))] = draw(SOME)
    return cfg


def ends(cfg: DictConfig) -> Status | None:
    """How a few steps of a config end; None for one that is refused, whose lines are clear."""
    try:
        check(cfg)
        experiment = build(cfg)
    except ConfigError as error:
        for line in error.lines:
            clear(line)
        return None
    experiment.integrator.max_steps = 2
    theta = experiment.map.theta.detach()
    try:
        return evolve(
            experiment.projection, experiment.integrator, theta, [experiment.problem.t_end], LoopCallback()
        ).status
    except ConfigError as error:
        for line in error.lines:
            clear(line)
        return None


@given(configs())
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
def test_any_settings_run_or_are_refused(cfg: DictConfig):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wgf.settings.memory.machine", lambda: 2e8)  # what a test may take
        assert ends(cfg) in (None, *Status)


@given(st.sampled_from([(g, c) for g in GROUPS for c in choices(g)]), st.data())
@settings(max_examples=1000)
def test_every_setting_has_its_range(node: tuple[str, str], data: st.DataObject):
    """A drawn value is admitted and built with, or refused by name."""
    group, choice = node
    cfg = changed("t_end=0.01", "network.width=5")
    cfg[group] = OmegaConf.load(CONFIGS / group / f"{choice}.yaml")
    OmegaConf.set_struct(cfg, False)
    known = settings_of(cfg[group]._target_)
    if not known:
        return
    key = data.draw(st.sampled_from([*known]))
    value = data.draw(SOME)
    if value == "???" or (isinstance(value, str) and "${" in value):
        return
    cfg[group][key] = value
    lines = refusal(cfg)
    if known[key].rule.admits(value):
        assert not any(
            line.startswith(f"{group}.{key}={value} is not allowed: expected {known[key].rule}") for line in lines
        )
    else:
        assert any(line.startswith((f"{group}.{key}=", f"{group} has a _target_")) for line in lines)


def refusal(cfg: DictConfig) -> tuple[str, ...]:
    """The lines said to a config; none if it passes."""
    try:
        check(cfg)
    except ConfigError as error:
        for line in error.lines:
            clear(line)
        return error.lines
    return ()


@given(SOME)
@settings(max_examples=1000)
def test_every_setting_of_the_root_has_its_range(value: Any):
    if isinstance(value, str) and "${" in value:
        return
    for key, rule in ROOT.items():
        cfg = changed()
        cfg[key] = value
        lines = refusal(cfg)
        assert rule.admits(value) or any(line.startswith(f"{key}=") for line in lines)


# the command


def said(folder: Path, words: list[str]) -> tuple[int | None, list[str]]:
    """Status and lines of `wgf WORDS` in a folder, where a run would only be built."""
    out, err = io.StringIO(), io.StringIO()
    before, here, argv, code = sorted(folder.rglob("*")), Path.cwd(), sys.argv, None
    os.chdir(folder)
    sys.argv = ["wgf", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    finally:
        sys.argv = argv
        os.chdir(here)
    if code == 2:
        assert sorted(folder.rglob("*")) == before
        assert out.getvalue() == ""
    return code, err.getvalue().splitlines()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that are no good, and a runner that only builds."""
    monkeypatch.setattr(runner, "main", lambda cfg, folder: build(cfg) and 0)
    (tmp_path / "file").write_text("")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "result.json").write_text("{}")
    mine = tmp_path / "mine"
    files = {
        "network/broken.yaml": "a: [1,\n  b: : c",
        "network/list.yaml": "- 1\n- 2\n",
        "network/empty.yaml": "",
        "network/text.yaml": "hello",
        "network/twice.yaml": "_target_: wgf.networks.spline.Spline\nwidth: 3\nwidth: 4\n",
        "network/code.yaml": "_target_: !!python/object/apply:os.mkdir ['hacked']\n",
        "network/lost.yaml": "defaults:\n  - nothing\n_target_: wgf.networks.spline.Spline\n",
        "network/nested.yaml": "_target_: wgf.networks.spline.Spline\nwidth: {_target_: os.mkdir, path: hacked}\n",
        "network/abstract.yaml": "_target_: wgf.networks.base.TransportMap\n",
        "network/other.yaml": "_target_: wgf.problem.laws.Gaussian\n",
        "experiment/plain.yaml": "t_end: 3\n",
        "experiment/lost.yaml": "# @package _global_\ndefaults:\n  - override /pde: nothing\n",
        "experiment/callback.yaml": "# @package hydra.callbacks\na: {_target_: os.mkdir, path: hacked}\n",
    }
    for name, text in files.items():
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(text)
    (mine / "network" / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    return tmp_path


FILES = ["broken", "list", "empty", "twice", "code", "lost", "nested", "abstract", "other", "binary"]
BAD: list[list[str]] = [  # scripts/fuzz.py has a thousand
    *([word] for word in ("t_end", "=3", "", "~", "t_end==3", "t_end=${", "ünicode=3", "t_end=1e400", "t_end=0.1,0.2")),
    *([word] for word in ("t_end=${nope:1}", "network=null", "network=[spline]", "network=../network/mlp")),
    *([word] for word in ("+network=mlp", "network@a=mlp", "~network", "~network.widht", "hydra.foo=1")),
    *([f"network._target_={name}"] for name in ("os.system", "wgf.Gauss", "a.b.c", "x" * 3000, "a." * 1500 + "c")),
    *([f"hydra.run.dir={name}"] for name in ("", "file/x", "done", "/proc/x", "a" * 300)),
    *(["-cd", "mine", f"network={name}"] for name in FILES),
    *(["-cd", "mine", f"experiment={name}"] for name in ("plain", "lost", "callback")),
    *(["--config-dir", name] for name in ("nope", "file")),
    *([flag] for flag in ("--nope", "--config-dir", "--resolve", "--shell-completion")),
    *([flag, "nope"] for flag in ("--cfg", "--config-name", "--config-path", "--experimental-rerun")),
    *(["-m", word] for word in ("t_end=1,-1", "foo=1,2", "pde=nope,fokker_planck")),
    ["network=mlp", "-m", "t_end=1,2"],
    *(["potential=expression", f'potential.expr="{text}"'] for text in ("x.real", "1/x", "-x**4", "9**9**9**9")),
    ["potential=expression", "potential.expr=x^2"],
    *([word] for word in ("device=cuda:99", "network.width=99999999999", "saves=1e12", "quadrature.order=3")),
    *([word] for word in ("integrator.dt=1", "integrator.dt_min=1", "reference_solution=exact", "law.std=1e-200")),
    ["integrator=euler", "integrator.dt=1e-300"],
    ["threads=1000000000"],
    ["network=mlp", "integrator=gauss_newton", "network.width=1e300"],
    ["law=mixture", "law.means=[-50,50]"],
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: ascii(" ".join(words))[1:-1][:60])
def test_bad_words_are_refused(place: Path, words: list[str]):
    code, lines = said(place, words)
    assert code == 2, lines
    assert lines
    for line in lines:
        assert line.startswith("wgf: ")
        clear(line.removeprefix("wgf: "))
    assert not (place / "hacked").exists()


PIECES = st.sampled_from(
    [*"=+~@/.,:[]{}()'\"$*-_ \\", "t_end", "network", "width", "pde", "x", "1", "0.1", "é", "-m", "null"]
)


@given(st.lists(st.lists(PIECES, min_size=1, max_size=6).map("".join), min_size=1, max_size=3))
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_any_words_run_or_are_refused(tmp_path_factory: pytest.TempPathFactory, words: list[str]):
    words = [word for word in words if not word.startswith("-")]  # flags that show something
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "main", lambda cfg, folder: build(cfg) and 0)
        code, lines = said(folder, ["logger=none", "figures=false", *words])
    if code == 2:
        for line in lines:
            assert line.startswith("wgf: ")
            clear(line.removeprefix("wgf: "))
    else:
        assert code == 0
