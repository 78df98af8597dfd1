"""Every config that is shipped passes the check, and whatever is wrong is said at once, clearly and without torch."""

import inspect
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from command_line import wgf
from composed_configs import changed, choices, composed
from hydra.utils import get_class
from omegaconf import OmegaConf
from refusals import refusal
from written_files import write

from wgf.cli import CONFIGS
from wgf.errors import ConfigError
from wgf.settings.check import GROUPS, ROOT, check
from wgf.settings.constructors import REQUIRED, Missing, settings
from wgf.settings.ranges import rule_of

NODES = [f"{group}/{choice}" for group in GROUPS for choice in choices(group)]
# what a choice needs beside it
PARTNERS = {
    "potential/expression": ["potential.expr='x**2'"],
    "potential/table": ["potential.path=data.csv"],
    "law/samples": ["law.path=data.csv"],
    "law/expression": ["law.expr='exp(-x**4)'"],
    **{f"interaction/{kernel}": ["pde=aggregation_diffusion"] for kernel in choices("interaction")},
    "interaction/expression": ["pde=aggregation_diffusion", "interaction.expr='abs(r)**3/3'"],
    **{f"solver/{solver}": ["integrator=dopri5"] for solver in choices("solver")},
    "network/mlp": ["integrator=gauss_newton"],
    **{node: ["network=two_sided_relu", "network.train=all"] for node in ("integrator/limex", "solver/moving_knots")},
}
# where the main job wants something else than a constructor's own default
MAIN_JOB = {"potential/quartic": {"center": 1.0}, "potential/sextic": {"center": 4.0}}


def faults(*overrides: str, config_dir: Path | None = None) -> list[str]:
    return refusal(check, composed(*overrides, config_dir=config_dir))


@pytest.mark.parametrize("node", NODES)
def test_every_choice_passes(node: str):
    check(composed(node.replace("/", "="), *PARTNERS.get(node, [])))


@pytest.mark.parametrize("file", [f"{g}/{c}" for g in ("experiment", "debug") for c in choices(g)])
def test_every_experiment_passes_and_each_of_its_lines_has_its_effect(file: str):
    wanted = OmegaConf.load(CONFIGS / f"{file}.yaml")
    defaults = wanted.pop("defaults", [])
    wanted.pop("hydra", None)  # what a sweep of it goes through
    cfg = composed(file.replace("/", "=", 1))
    check(cfg)
    assert OmegaConf.merge(cfg, wanted) == cfg
    for entry in defaults:
        ((place, choice),) = entry.items()
        group = place.split("/")[-1]
        assert cfg[group]._target_ == OmegaConf.load(CONFIGS / f"{group}/{choice}.yaml")._target_


def test_every_group_of_the_folder_is_checked():
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir()}
    assert folders == {*GROUPS, "experiment", "debug", "hydra"}
    assert set(composed()) == {*GROUPS, *ROOT}
    assert len(choices("experiment")) > 5


@pytest.mark.parametrize("node", NODES)
def test_files_and_what_is_read_from_the_source_agree_with_the_constructor(node: str):
    given = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{node}.yaml"))
    given.pop("defaults", None)  # companions
    name = given.pop("_target_")
    constructor = get_class(name).__init__
    hints = get_type_hints(constructor, include_extras=True)
    named = [*inspect.signature(constructor).parameters.values()][1:]
    parameters = [p for p in named if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    wanted = {p.name: "???" if p.default is p.empty else p.default for p in parameters}
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in wanted.items()}
    assert given == wanted | MAIN_JOB.get(node, {})
    known = settings(name)
    assert [key for key in known if key != "**"] == [p.name for p in parameters]
    for p in parameters:
        assert known[p.name].default == (REQUIRED if p.default is p.empty else p.default)
        assert known[p.name].rule is not None
        assert str(known[p.name].rule) == str(rule_of(hints[p.name]))


SAID = """t_end=0.1 seed=7 dtype=float32 device=cpu; device=auto; device=cuda:1; t_end=2 saves=1 figures=false
network.width=8 network.bound=10 network.degree=5 network.knots=quantile; network.width=16.0; pde.diffusion=0.5
network=two_sided_relu network.width=8 network.bound=10 network.train=weights; quadrature.order=4; logger=none
network=two_sided_relu network.train=biases integrator=dopri5; network=two_sided_relu network.train=all integrator=jko
potential=quadratic potential.center=1 potential.stiffness=2; potential=expression potential.expr='x**4/4 - x**2/2'
pde=porous_medium pde.exponent=3; pde=keller_segel pde.chi=0; law.mean=1 law.std=2; law=laplace law.scale=2
pde=aggregation_diffusion interaction=log interaction.strength=-2; law=semicircle law.radius=2
law=barenblatt law.exponent=3 law.t0=0.5; law=uniform law.low=-2 law.high=3; integrator=rk4 integrator.dt=1e-2
integrator.rtol=1e-8 integrator.atol=0 integrator.max_steps=100 integrator.dt=null
quadrature=monte_carlo quadrature.particles=1000; solver=truncated solver.rcond=0 integrator=dopri5"""


@pytest.mark.parametrize("line", SAID.replace("\n", "; ").split("; "))
def test_what_a_person_may_say(line: str):
    check(composed(*line.split(" ", 1 if "expr" in line else -1)))


def test_all_faults_at_once():
    overrides = "t_end=-1 +foo=1 network.width=0 network.knots=random +network.widht=3 integrator.rtol=0 law.std=abc"
    lines = faults(*overrides.split(), "+pde.diffusin=2")
    starts = ["foo ", "t_end=-1", "network.width=0", "network.knots=random", "network.widht ", "integrator.rtol=0"]
    for start in (*starts, "law.std=abc", "pde.diffusin "):
        assert sum(line.startswith(start) for line in lines) == 1
    assert len(lines) == 8


ANSWERS = {
    "+network.widht=3": "network.widht is not a setting: did you mean network.width? (options: ",
    "+integrator.rtoll=3": "integrator.rtoll is not a setting: did you mean integrator.rtol? (options: ",
    "+potential.centre=3": "potential.centre is not a setting: did you mean potential.center? (options: ",
    "+tend=3": "tend is not a setting: did you mean t_end? (options: ",
    "+seeed=3": "seeed is not a setting: did you mean seed? (options: ",
    "+sede=3": "sede is not a setting: did you mean seed? (options: ",
    "+network.train=all": "network.train is not a setting: it is a setting of network=two_sided_relu (options: ",
    "+network.zzz=3": "network.zzz is not a setting (options: bound, degree, knots, tol, width)",
    "+diffusion=2": "diffusion is not a setting: did you mean pde.diffusion?",
    "+rtol=1e-8": "rtol is not a setting: did you mean integrator.rtol or solver.rtol?",
    "network.width=1": "network.width=1 is not allowed: expected a whole number >= 2, auto, or null (default "
    "network.width=null)",
    "potential=expression": "potential.expr is missing: give potential.expr=..., a text",
    "~t_end": "t_end is missing: give t_end=...",
    "~pde": "pde=null is not a choice",
    "t_end=${nowhere}": "Interpolation key 'nowhere' not found",
}


@pytest.mark.parametrize("override", ANSWERS)
def test_the_line_that_answers(override: str):
    (line,) = faults(override)
    assert line.startswith(ANSWERS[override])


BAD = """t_end: 0 -1 abc null true inf nan [1] '0.2'; seed: -1 1.5 x null true; dtype: float16 64; saves: 0 2.5
device: gpu cuda:x 0; figures: maybe 1; network.width: 1 0 -4 3.5 abc true [8] 1e400; network.degree: 0 6 2.5
network.bound: 0 -1 inf x; network.knots: random 1 [uniform]; potential.center: inf nan abc; pde.diffusion: 0 -1
law.mean: nan abc; law.std: 0 -1; integrator.rtol: 0 -1; integrator.atol: -1; integrator.dt: 0 -1
integrator.max_steps: 0 1.5; quadrature.order: 0 2.5; solver.rcond: 1 -0.1"""
PAIRS = [line.partition(": ")[::2] for line in BAD.replace("\n", "; ").split("; ")]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in PAIRS for value in values.split()])
def test_wrong_types_and_impossible_values(key: str, value: str):
    (line,) = refusal(check, changed(f"{key}={value}"))
    given = {"1e400": "inf", "cuda:x": "'cuda:x'", "[uniform]": "['uniform']"}.get(value, value)
    assert line.startswith(f"{key}={given} is not allowed: expected ")


@pytest.mark.parametrize("value", [None, 3])
def test_a_group_without_a_choice(value: int | None):
    cfg = composed()
    cfg.solver = OmegaConf.create({"solver": value}).solver
    (line,) = refusal(check, cfg)
    assert f"solver={'null' if value is None else value} is not a choice of this group" in line


def test_own_experiment(tmp_path: Path):
    text = "# @package _global_\ndefaults:\n  - override /pde: porous_medium\nt_end: 0.5\nnetwork:\n  width: 5\n"
    cfg = composed("experiment=mine", config_dir=write(tmp_path, {"experiment/mine.yaml": text}))
    check(cfg)
    assert (cfg.t_end, cfg.network.width, cfg.pde.exponent) == (0.5, 5, 2.0)


def test_typos_inside_an_experiment(tmp_path: Path):
    text = "# @package _global_\nt_edn: 3\nnetwork:\n  widht: 5\nsolver:\n  rcond: 2\n"
    first, second, third = faults("experiment=mine", config_dir=write(tmp_path, {"experiment/mine.yaml": text}))
    assert first.startswith("t_edn is not a setting: did you mean t_end?")
    assert second.startswith("network.widht is not a setting: did you mean network.width?")
    assert third.startswith("solver.rcond=2 is not allowed")


@pytest.mark.parametrize("group", ["experiment", "debug"])
def test_experiment_without_its_package_line(tmp_path: Path, group: str):
    (line,) = faults(f"{group}=mine", config_dir=write(tmp_path, {f"{group}/mine.yaml": "t_end: 3\n"}))
    assert f"the {group} file has no effect" in line
    assert "# @package _global_" in line


OWN_LAW = """
from wgf.settings.ranges import Positive, checked
from wgf.problem.base import Base
from wgf.problem.laws import Gaussian
class Cauchy(Base):
    @checked
    def __init__(self, scale: Positive, shape: int = 3): ...
class Normal(Gaussian):
    pass
class Open:
    def __init__(self, **anything): ...
"""


def test_own_classes_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, {"my_own_law.py": OWN_LAW})
    monkeypatch.syspath_prepend(tmp_path)
    for name, keys in {"good": "scale: 2", "bad": "scale: -1\nshap: 4"}.items():
        write(tmp_path, {f"law/{name}.yaml": f"_target_: my_own_law.Cauchy\n{keys}\n"})
    check(composed("law=good", config_dir=tmp_path))
    lines = faults("law=bad", config_dir=tmp_path)
    assert lines[0].startswith("law.shap is not a setting: did you mean law.shape?")
    assert lines[1].startswith("law.scale=-1 is not allowed")
    assert list(settings("my_own_law.Normal")) == ["mean", "std"]  # inherited
    assert settings("my_own_law.Open") is None
    assert "my_own_law" not in sys.modules  # read, not run


MISSING = {
    "wgf.problem.laws.Gausian": "no class 'Gausian'",
    "wgf.referense.Gaussian": "no module 'wgf.referense'",
    "no.such.thing.Gaussian": "no module",
    "Gaussian": "no module",
    "math.sqrt": "no module",
}


@pytest.mark.parametrize("target", MISSING)
def test_targets_that_do_not_exist(target: str):
    with pytest.raises(Missing, match=MISSING[target]):
        settings(target)
    cfg = composed()
    cfg.law = {"_target_": target}
    with pytest.raises(ConfigError, match=f"law._target_='{target}' does not exist"):
        check(cfg)


def test_checking_loads_no_large_package(tmp_path: Path):
    code = """
from composed_configs import choices, composed
from wgf.settings.check import GROUPS, check
from wgf.errors import ConfigError
for choice in choices('experiment'): check(composed('experiment=' + choice))
try: check(composed('network.width=1', 't_end=-1'))
except ConfigError as error: print(len(error.lines))
print(*{name.partition('.')[0] for name in sys.modules})
"""
    home = Path(__file__).parents[1] / "helpers"
    answer = wgf(tmp_path, start=("-c", f"import sys; sys.path.insert(0, {str(home)!r}){code}"))
    assert answer.returncode == 0, answer.stderr
    count, *loaded = answer.stdout.split()
    assert count == "2"
    assert "hydra" in loaded
    assert not {"torch", "numpy", "scipy", "matplotlib", "tensorboard"} & set(loaded)
