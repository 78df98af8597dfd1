"""Whatever is asked for either runs or is refused in clear lines: thousands of drawn overrides, flags, files, words."""

import contextlib
import io
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from composed_configs import changed, choices, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loaded_scripts import script
from omegaconf import DictConfig, OmegaConf

from wgf import cli
from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, evolve
from wgf.run import runner
from wgf.run.build import build
from wgf.settings.check import GROUPS, ROOT, check
from wgf.settings.constructors import settings as settings_of

fuzz = script("fuzz")


def clear(lines: Iterable[str]) -> None:
    """Every line says what is wrong and how to mend it, in words, once."""
    for line in lines:
        assert line == line.strip() != ""
        assert line.isprintable(), ascii(line)
        assert len(line) < 1000, line
        assert fuzz.MENDS.search(line), line
        assert not any(word in line for word in ("Traceback", "object at 0x", "site-packages", "File ")), line


def refused(call: Callable[[], Any]) -> tuple[str, ...]:
    """The clear lines with which a call refuses; none if it does not."""
    try:
        call()
    except ConfigError as error:
        clear(error.lines)
        return error.lines
    return ()


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
        if (choice := "none" if group == "logger" else choice) is not None:
            cfg[group] = node(group, choice)
    if cfg.potential.get("expr") == "???":
        cfg.potential.expr = draw(st.sampled_from(["x**2", "-x**4", "1/x", "exp(x)", "9**9**9", "abs(x)", "log(x)"]))
    small = {"network.width": 5, "integrator.width": 5, "quadrature.particles": 50, "integrator.dt": 1e-3}
    for place, value in small.items():
        group, key = place.split(".")
        if key in cfg[group]:
            cfg[group][key] = value
    OmegaConf.set_struct(cfg, False)
    known_keys = {group: [*(settings_of(cfg[group]._target_) or {})] for group in GROUPS}
    for _ in range(draw(st.integers(0, 6))):
        group = draw(st.sampled_from(["", *GROUPS]))
        place, known = (cfg[group], known_keys[group]) if group else (cfg, KEYS)
        place[draw(st.sampled_from([*known, *known, *known, "widht", "_target_", "_args_"]))] = draw(SOME)
    return cfg


def steps(cfg: DictConfig) -> None:
    """Check a config, build it and make a few steps."""
    check(cfg)
    experiment = build(cfg)
    experiment.integrator.max_steps = 2
    theta, t_end = experiment.theta, experiment.problem.t_end
    end = evolve(experiment.projection, experiment.integrator, theta, [t_end], LoopCallback())
    assert end.status in Status


@given(configs())
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_any_settings_run_or_are_refused(cfg: DictConfig):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wgf.run.memory.machine", lambda: 2e8)  # what a test may take
        refused(lambda: steps(cfg))


@given(st.sampled_from([(g, c) for g in GROUPS for c in choices(g)]), st.data())
@settings(max_examples=600)
def test_every_setting_has_its_range(choice_of: tuple[str, str], data: st.DataObject):
    """A drawn value is admitted and built with, or refused by name."""
    group, choice = choice_of
    cfg = changed("t_end=0.01", "network.width=5")
    cfg[group] = node(group, choice)
    OmegaConf.set_struct(cfg, False)
    known = settings_of(cfg[group]._target_)
    if not known:
        return
    key = data.draw(st.sampled_from([*known]))
    value = data.draw(SOME)
    if value == "???" or (isinstance(value, str) and "${" in value):
        return
    cfg[group][key] = value
    lines = refused(lambda: check(cfg))
    if known[key].rule.admits(value):
        start = f"{group}.{key}={value} is not allowed: expected {known[key].rule}"
        assert not any(line.startswith(start) for line in lines)
    else:
        assert any(line.startswith((f"{group}.{key}=", f"{group} has a _target_")) for line in lines)


@given(SOME)
@settings(max_examples=200)
def test_every_setting_of_the_root_has_its_range(value: Any):
    """One value for all keys at once: each key answers for itself."""
    if isinstance(value, str) and "${" in value:
        return
    cfg = changed()
    for key in ROOT:
        cfg[key] = value
    lines = refused(lambda: check(cfg))
    for key, rule in ROOT.items():
        assert any(line.startswith(f"{key}=") for line in lines) != rule.admits(value)


def said(folder: Path, words: list[str]) -> tuple[int | None, list[str]]:
    """Status and lines of `wgf WORDS` in a folder, where a run is only built; lines that refuse are clear."""
    out, err, code = io.StringIO(), io.StringIO(), None
    before = sorted(folder.rglob("*"))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["wgf", *words])
        patch.setattr(runner, "main", lambda cfg, *_: build(cfg) and 0)
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code  # type: ignore[assignment]
    lines = err.getvalue().splitlines()
    if code == 2:
        assert sorted(folder.rglob("*")) == before
        assert out.getvalue() == ""
        assert all(line.startswith("wgf: ") for line in lines)
        clear(line.removeprefix("wgf: ") for line in lines)
    return code, lines


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with files that are no good."""
    fuzz.write_bad_files(tmp_path)
    (tmp_path / "mine" / "network" / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    return tmp_path


BAD: list[list[str]] = [  # scripts/fuzz.py has a thousand
    *([word] for word in ("t_end", "=3", "", "~", "t_end==3", "t_end=${", "ünicode=3", "t_end=1e400", "t_end=0.1,0.2")),
    *([word] for word in ("t_end=${nope:1}", "network=null", "network=[spline]", "network=../network/mlp")),
    *([word] for word in ("+network=mlp", "network@a=mlp", "~network", "~network.widht", "hydra.foo=1")),
    *([f"network._target_={name}"] for name in ("os.system", "wgf.Gauss", "a.b.c", "x" * 3000, "a." * 1500 + "c")),
    *([f"hydra.run.dir={name}"] for name in ("", "file/x", "done", "/proc/x", "a" * 300)),
    *(["-cd", "mine", f"network={name}"] for name in (*fuzz.NETWORKS, "binary")),
    *(["-cd", "mine", f"experiment={name}"] for name in fuzz.EXPERIMENTS),
    *(["--config-dir", name] for name in ("nope", "file")),
    *([flag] for flag in ("--nope", "--config-dir", "--resolve", "--shell-completion")),
    *([flag, "nope"] for flag in ("--cfg", "--config-name", "--config-path", "--experimental-rerun")),
    *(["-m", word] for word in ("t_end=1,-1", "foo=1,2", "pde=nope,fokker_planck")),
    *(["potential=expression", f'potential.expr="{text}"'] for text in ("x.real", "1/x", "-x**4", "9**9**9**9")),
    *([word] for word in ("device=cuda:99", "network.width=99999999999", "saves=1e12", "quadrature.order=3")),
    *([word] for word in ("integrator.dt=1", "integrator.dt_min=1", "reference_solution=exact", "law.std=1e-200")),
    *(line.split() for line in ("network=mlp -m t_end=1,2", "integrator=euler integrator.dt=1e-300")),
    *(line.split() for line in ("potential=expression potential.expr=x%2", "law=mixture law.means=[-50,50] base=law")),
    ["threads=1000000000"],
    ["network=mlp", "integrator=gauss_newton", "network.width=1e300"],
]


@pytest.mark.parametrize("words", BAD, ids=lambda words: ascii(" ".join(words))[1:-1][:60])
def test_bad_words_are_refused(place: Path, words: list[str]):
    code, lines = said(place, words)
    assert code == 2, lines
    assert lines
    assert not (place / "hacked").exists()


WORDS = ["t_end", "network", "width", "pde", "x", "1", "0.1", "é", "-m", "null"]
PIECES = st.sampled_from([*"=+~@/.,:[]{}()'\"$*-_ \\", *WORDS])


@given(st.lists(st.lists(PIECES, min_size=1, max_size=6).map("".join), min_size=1, max_size=3))
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_any_words_run_or_are_refused(tmp_path_factory: pytest.TempPathFactory, words: list[str]):
    words = [word for word in words if not word.startswith("-")]  # flags that show something
    code, lines = said(tmp_path_factory.mktemp("words"), ["logger=none", "figures=false", *words])
    assert code in (0, 2), lines
