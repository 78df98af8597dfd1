"""Whatever is asked for either runs or is refused in clear lines: thousands of drawn overrides, flags, files, words."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import called
from composed_configs import changed, choices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from wgf.errors import ConfigError
from wgf.integrators.status import Status
from wgf.integrators.time_loop import LoopCallback, evolve
from wgf.run import runner
from wgf.run.build import build
from wgf.settings.check import CONFIGS, GROUPS, ROOT, check
from wgf.settings.constructors import settings as settings_of

MENDS = re.compile(
    r"expected|did you mean|options: |say |give |choose |lower |raise |allowed|at most|write it|see wgf|must be|drop"
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


def refusal(call: Callable[..., Any], *given: Any) -> tuple[Any, tuple[str, ...]]:
    """What a call returns and the lines with which it refuses, all of them clear."""
    try:
        return call(*given), ()
    except ConfigError as error:
        for line in error.lines:
            clear(line)
        return None, error.lines


def ends(cfg: DictConfig) -> Status:
    """How a few steps of a config end."""
    check(cfg)
    experiment = build(cfg)
    experiment.integrator.max_steps = 2
    theta, stops = experiment.map.theta.detach(), [experiment.problem.t_end]
    return evolve(experiment.projection, experiment.integrator, theta, stops, LoopCallback()).status


@given(configs())
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
def test_any_settings_run_or_are_refused(cfg: DictConfig):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wgf.settings.memory.machine", lambda: 2e8)  # what a test may take
        status, lines = refusal(ends, cfg)
        assert lines or status in Status


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
    _, lines = refusal(check, cfg)
    if known[key].rule.admits(value):
        unwanted = f"{group}.{key}={value} is not allowed: expected {known[key].rule}"
        assert not any(line.startswith(unwanted) for line in lines)
    else:
        assert any(line.startswith((f"{group}.{key}=", f"{group} has a _target_")) for line in lines)


@given(SOME)
@settings(max_examples=1000)
def test_every_setting_of_the_root_has_its_range(value: Any):
    if isinstance(value, str) and "${" in value:
        return
    for key, rule in ROOT.items():
        cfg = changed()
        cfg[key] = value
        _, lines = refusal(check, cfg)
        assert rule.admits(value) or any(line.startswith(f"{key}=") for line in lines)


# the command


def answered(folder: Path, *words: str) -> int:
    """Exit status of `wgf WORDS` where a run would only be built; a refusal is clear and leaves nothing behind."""
    before = sorted(folder.rglob("*"))
    status, out, err = called(folder, *words)
    if status == 2:
        assert sorted(folder.rglob("*")) == before
        assert (out, err == "") == ("", False)
        for line in err.splitlines():
            assert line.startswith("wgf: ")
            clear(line.removeprefix("wgf: "))
    return status


SPLINE = "_target_: wgf.networks.spline.Spline\n"
BAD_FILES = {
    "network/broken": "a: [1,\n  b: : c",
    "network/list": "- 1\n- 2\n",
    "network/empty": "",
    "network/text": "hello",
    "network/twice": SPLINE + "width: 3\nwidth: 4\n",
    "network/code": "_target_: !!python/object/apply:os.mkdir ['hacked']\n",
    "network/lost": "defaults:\n  - nothing\n" + SPLINE,
    "network/nested": SPLINE + "width: {_target_: os.mkdir, path: hacked}\n",
    "network/abstract": "_target_: wgf.networks.base.TransportMap\n",
    "network/other": "_target_: wgf.problem.laws.Gaussian\n",
    "experiment/plain": "t_end: 3\n",
    "experiment/lost": "# @package _global_\ndefaults:\n  - override /pde: nothing\n",
    "experiment/callback": "# @package hydra.callbacks\na: {_target_: os.mkdir, path: hacked}\n",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that are no good, and a runner that only builds."""
    monkeypatch.setattr(runner, "main", lambda cfg, folder: build(cfg) and 0)
    (tmp_path / "file").write_text("")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "result.json").write_text("{}")
    mine = tmp_path / "mine"
    for name, text in BAD_FILES.items():
        (mine / f"{name}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (mine / f"{name}.yaml").write_text(text)
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
    assert answered(place, *words) == 2
    assert not (place / "hacked").exists()


PIECES = st.sampled_from(
    [*"=+~@/.,:[]{}()'\"$*-_ \\", "t_end", "network", "width", "pde", "x", "1", "0.1", "é", "-m", "null"]
)


@given(st.lists(st.lists(PIECES, min_size=1, max_size=6).map("".join), min_size=1, max_size=3))
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
def test_any_words_run_or_are_refused(tmp_path_factory: pytest.TempPathFactory, words: list[str]):
    words = [word for word in words if not word.startswith("-")]  # flags that show something
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "main", lambda cfg, folder: build(cfg) and 0)
        assert answered(tmp_path_factory.mktemp("words"), "logger=none", "figures=false", *words) in (0, 2)
