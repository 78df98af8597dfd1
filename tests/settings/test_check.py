"""Every config that is shipped passes the check, and whatever is wrong is said at once, clearly and without torch."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from composed_configs import changed, choices, composed
from hydra.utils import get_class
from omegaconf import OmegaConf
from tables import rows

from wgf.cli import CONFIGS
from wgf.errors import ConfigError
from wgf.settings.check import GROUPS, ROOT, check
from wgf.settings.constructors import REQUIRED, Missing, settings
from wgf.settings.ranges import rule_of

NODES = [f"{group}/{choice}" for group in GROUPS for choice in choices(group)]

# what a choice needs beside it
PARTNERS = {
    "potential/expression": ["potential.expr='x**2'"],
    **{f"interaction/{kernel}": ["pde=aggregation_diffusion"] for kernel in choices("interaction")},
    **{f"solver/{solver}": ["integrator=dopri5"] for solver in choices("solver")},
    "network/mlp": ["integrator=gauss_newton"],
}
# where the main job wants something else than a constructor's own default
MAIN_JOB = {"potential/quartic": {"center": 1.0}, "potential/sextic": {"center": 4.0}}


def faults(*overrides: str, config_dir: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(composed(*overrides, config_dir=config_dir))
    assert str(caught.value).splitlines() == list(caught.value.lines)
    return list(caught.value.lines)


# what is shipped


@pytest.mark.parametrize("node", NODES)
def test_every_choice_passes(node: str):
    check(composed(node.replace("/", "="), *PARTNERS.get(node, [])))


@pytest.mark.parametrize("file", [f"{g}/{c}" for g in ("experiment", "debug") for c in choices(g)])
def test_every_experiment_passes_and_each_of_its_lines_has_its_effect(file: str):
    wanted = OmegaConf.load(CONFIGS / f"{file}.yaml")
    defaults = wanted.pop("defaults", [])
    wanted.pop("hydra", None)  # the axes of its sweep
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
def test_keys_and_defaults_agree_with_the_constructor(node: str):
    given = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{node}.yaml"))
    target = get_class(given.pop("_target_"))
    parameters = list(inspect.signature(target.__init__).parameters.values())[1:]
    wanted = {p.name: "???" if p.default is p.empty else p.default for p in parameters if p.kind is not p.KEYWORD_ONLY}
    wanted = {key: list(value) if isinstance(value, tuple) else value for key, value in wanted.items()}
    assert given == wanted | MAIN_JOB.get(node, {})


@pytest.mark.parametrize("node", NODES)
def test_settings_are_read_from_the_source_as_python_sees_them(node: str):
    name = OmegaConf.load(CONFIGS / f"{node}.yaml")._target_
    constructor = get_class(name).__init__
    hints = get_type_hints(constructor, include_extras=True)
    parameters = list(inspect.signature(constructor).parameters.values())[1:]
    known = settings(name)
    assert list(known) == [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    for p in parameters:
        if p.kind is not p.KEYWORD_ONLY:
            assert known[p.name].default == (REQUIRED if p.default is p.empty else p.default)
            assert known[p.name].rule is not None
            assert str(known[p.name].rule) == str(rule_of(hints[p.name]))


@pytest.mark.parametrize(
    "line",
    [
        "t_end=0.1 seed=7 dtype=float32 device=cpu",
        "device=auto",
        "device=cuda:1",
        "t_end=2 saves=1 figures=false",
        "network.width=8 network.bound=10 network.degree=5 network.knots=quantile",
        "network=two_sided_relu network.width=8 network.bound=10 network.train=weights",
        "network=two_sided_relu network.train=biases integrator=dopri5",
        "network=two_sided_relu network.train=all integrator=jko",
        "network.width=16.0",
        "potential=quadratic potential.center=1 potential.stiffness=2",
        "potential=expression potential.expr='x**4/4 - x**2/2'",
        "pde.diffusion=0.5",
        "pde=porous_medium pde.exponent=3",
        "pde=keller_segel pde.chi=0",
        "pde=aggregation_diffusion interaction=log interaction.strength=-2",
        "law.mean=1 law.std=2",
        "law=laplace law.scale=2",
        "law=semicircle law.radius=2",
        "law=barenblatt law.exponent=3 law.t0=0.5",
        "law=uniform law.low=-2 law.high=3",
        "integrator=rk4 integrator.dt=1e-2",
        "integrator.rtol=1e-8 integrator.atol=0 integrator.max_steps=100 integrator.dt=null",
        "quadrature.order=4",
        "quadrature=monte_carlo quadrature.particles=1000",
        "solver=truncated solver.rcond=0 integrator=dopri5",
        "logger=none",
    ],
)
def test_what_a_person_may_say(line: str):
    check(composed(*line.split(" ") if "**" not in line else line.split(" ", 1)))


# what is refused


def test_all_faults_at_once():
    values = ["t_end=-1", "network.width=0", "network.knots=random", "integrator.rtol=0", "law.std=abc"]
    unknown = ["foo", "network.widht", "pde.diffusin"]
    lines = faults(*values, *(f"+{key}=3" for key in unknown))
    wanted = [f"{value} is not allowed" for value in values] + [f"{key} is not a setting" for key in unknown]
    assert len(lines) == len(wanted)
    for start in wanted:
        assert sum(line.startswith(start) for line in lines) == 1


ANSWERS = r"""
+network.widht=3        -> network.widht is not a setting: did you mean network.width\? .*options:
+integrator.rtoll=3     -> integrator.rtoll is not a setting: did you mean integrator.rtol\? .*options:
+potential.centre=3     -> potential.centre is not a setting: did you mean potential.center\? .*options:
+tend=3                 -> tend is not a setting: did you mean t_end\? .*options:
+seeed=3                -> seeed is not a setting: did you mean seed\? .*options:
+sede=3                 -> sede is not a setting: did you mean seed\? .*options:
+network.train=all      -> .*it is one of network=two_sided_relu
+network.zzz=3          -> (?!.*did you mean).*\(options: bound, degree, knots, width\)
network.width=1         -> network.width=1 is not allowed: expected a whole number >= 2 \(default network.width=32\)$
potential=expression    -> potential.expr is missing: give potential.expr=..., a text$
~t_end                  -> t_end is missing: give t_end=...$
~pde                    -> pde=null is not a choice
t_end=${nowhere}        -> .*nowhere
"""


@pytest.mark.parametrize(("override", "answer"), rows(ANSWERS))
def test_a_fault_is_one_line_that_says_what_is_meant(override: str, answer: str):
    (line,) = faults(override)
    assert re.match(answer, line), line


BAD = {
    "t_end": ["0", "-1", "abc", "null", "true", "inf", "nan", "[1]", "'0.2'"],
    "seed": ["-1", "1.5", "x", "null", "true"],
    "dtype": ["float16", "64"],
    "device": ["gpu", "cuda:x", "0"],
    "saves": ["0", "2.5"],
    "figures": ["maybe", "1"],
    "network.width": ["1", "0", "-4", "3.5", "abc", "null", "true", "[8]", "1e400"],
    "network.bound": ["0", "-1", "inf", "x"],
    "network.degree": ["0", "6", "2.5"],
    "network.knots": ["random", "1", "[uniform]"],
    "potential.center": ["inf", "nan", "abc"],
    "pde.diffusion": ["0", "-1"],
    "law.mean": ["nan", "abc"],
    "law.std": ["0", "-1"],
    "integrator.rtol": ["0", "-1"],
    "integrator.atol": ["-1"],
    "integrator.dt": ["0", "-1"],
    "integrator.max_steps": ["0", "1.5"],
    "quadrature.order": ["0", "2.5"],
    "solver.rcond": ["1", "-0.1"],
}


@pytest.mark.parametrize("override", [f"{key}={value}" for key, values in BAD.items() for value in values])
def test_wrong_types_and_impossible_values(override: str):
    with pytest.raises(ConfigError) as caught:
        check(changed(override))
    (line,) = caught.value.lines
    key, value = override.split("=")
    given = {"1e400": "inf", "cuda:x": "'cuda:x'", "[uniform]": "['uniform']"}.get(value, value)
    assert line.startswith(f"{key}={given} is not allowed: expected ")


@pytest.mark.parametrize("value", ["null", "3"])
def test_a_group_without_a_choice(value: str):
    cfg = composed()
    cfg.solver = OmegaConf.create({"solver": None if value == "null" else 3}).solver
    with pytest.raises(ConfigError, match=f"solver={value} is not a choice of this group"):
        check(cfg)


# experiments of one's own


def experiment(tmp_path: Path, text: str) -> Path:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    return tmp_path


def test_own_experiment(tmp_path: Path):
    text = "# @package _global_\ndefaults:\n  - override /pde: porous_medium\nt_end: 0.5\nnetwork:\n  width: 5\n"
    cfg = composed("experiment=mine", config_dir=experiment(tmp_path, text))
    check(cfg)
    assert (cfg.t_end, cfg.network.width, cfg.pde.exponent) == (0.5, 5, 2.0)


def test_typos_inside_an_experiment(tmp_path: Path):
    text = "# @package _global_\nt_edn: 3\nnetwork:\n  widht: 5\nsolver:\n  rcond: 2\n"
    lines = faults("experiment=mine", config_dir=experiment(tmp_path, text))
    assert len(lines) == 3
    assert lines[0].startswith("t_edn is not a setting: did you mean t_end?")
    assert lines[1].startswith("network.widht is not a setting: did you mean network.width?")
    assert lines[2].startswith("solver.rcond=2 is not allowed")


@pytest.mark.parametrize("group", ["experiment", "debug"])
def test_experiment_without_its_package_line(tmp_path: Path, group: str):
    (tmp_path / group).mkdir()
    (tmp_path / group / "mine.yaml").write_text("t_end: 3\n")
    (line,) = faults(f"{group}=mine", config_dir=tmp_path)
    assert f"the {group} file has no effect" in line
    assert "# @package _global_" in line


def test_own_classes_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_own_law.py").write_text(
        "from wgf.settings.ranges import Positive, checked\n"
        "from wgf.problem.base import Base\n"
        "from wgf.problem.laws import Gaussian\n"
        "class Cauchy(Base):\n"
        "    @checked\n"
        "    def __init__(self, scale: Positive, shape: int = 3): ...\n"
        "class Normal(Gaussian):\n    pass\n"
        "class Open:\n    def __init__(self, **anything): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "law").mkdir()
    for name, keys in {"good": "scale: 2", "bad": "scale: -1\nshap: 4"}.items():
        (tmp_path / "law" / f"{name}.yaml").write_text(f"_target_: my_own_law.Cauchy\n{keys}\n")
    check(composed("law=good", config_dir=tmp_path))
    lines = faults("law=bad", config_dir=tmp_path)
    assert lines[0].startswith("law.shap is not a setting: did you mean law.shape?")
    assert lines[1].startswith("law.scale=-1 is not allowed")
    assert list(settings("my_own_law.Normal")) == ["mean", "std"]  # inherited
    assert settings("my_own_law.Open") is None
    assert "my_own_law" not in sys.modules  # read, not run


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("wgf.problem.laws.Gausian", "no class 'Gausian'"),
        ("wgf.referense.Gaussian", "no module 'wgf.referense'"),
        ("no.such.thing.Gaussian", "no module"),
        ("Gaussian", "no module"),
        ("math.sqrt", "no module"),
    ],
)
def test_targets_that_do_not_exist(target: str, reason: str):
    with pytest.raises(Missing, match=reason):
        settings(target)
    cfg = composed()
    cfg.law = {"_target_": target}
    with pytest.raises(ConfigError, match=f"law._target_='{target}' does not exist"):
        check(cfg)


# impossible pairs


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["interaction=log"], "interaction=Log with pde=FokkerPlanck is impossible"),
        (["interaction=morse", "pde=keller_segel"], "only pde=aggregation_diffusion takes an interaction"),
        (["network=mlp", "integrator=dopri5", "solver=banded"], "solver=banded with network=mlp is impossible"),
        (
            ["network=two_sided_relu", "network.train=all", "integrator=dopri5", "solver=banded"],
            "solver=banded with network.train=all is impossible",
        ),
        (["network=mlp"], "integrator=rodas4 with this network is impossible"),
        (
            ["network=two_sided_relu", "network.train=biases"],
            "integrator=rodas4 with network.train=biases is impossible",
        ),
        (["solver=qr", "integrator=sdirk2"], "solver=qr with integrator=sdirk2 is impossible"),
        (["law=uniform", "law.low=1"], "law.low=1 is not allowed: expected a number below"),
        (["law=uniform", "law.high=-3"], "law.high=-3"),
        (["law=mixture", "law.means=[0,1,2]"], "have 3, 2 and 2 entries"),
        (["pde=aggregation_diffusion", "interaction=power_law", "interaction.attraction=2"], "above interaction.repul"),
        (["potential=expression", "potential.expr='y**2'"], "the name 'y' is not allowed"),
        (["potential=expression", "potential.expr='x**'"], "does not parse"),
    ],
)
def test_impossible_pairs(overrides: list[str], words: str):
    (line,) = faults(*overrides)
    assert words in line


def test_two_impossible_pairs_are_two_lines():
    assert len(faults("interaction=log", "network=mlp", "integrator=dopri5", "solver=banded")) == 2


def test_checking_loads_no_torch(tmp_path: Path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from composed_configs import choices, composed\n"
        "from wgf.settings.check import GROUPS, check\n"
        "from wgf.errors import ConfigError\n"
        "for choice in choices('experiment'): check(composed('experiment=' + choice))\n"
        "try: check(composed('interaction=log', 'network=mlp', 'integrator=jko', 'solver=banded'))\n"
        "except ConfigError as error: print(len(error.lines))\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1] / "helpers")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    count, *loaded = answer.stdout.split()
    assert count == "2"
    assert "hydra" in loaded
    assert not {"torch", "scipy", "matplotlib", "tensorboard"} & set(loaded)


# sizes and steps


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["network.width=1e10"],
            r"network\.width=1\d*\.0, .* about 1e\+05 GB of memory, this machine has 16 GB: lower",
        ),
        (["network=mlp", "network.width=60000", "integrator=jko"], "network.width=60000, quadrature.order=8 needs"),
        (
            ["network=two_sided_relu", "network.width=20000", "solver=qr", "integrator=dopri5"],
            "network.width=20000, quad",
        ),
        (["quadrature=monte_carlo", "quadrature.particles=1e12", "integrator=dopri5"], "GB: lower quadrature.par"),
        (["saves=1e7"], "saves=1\\d*.0 needs about 9.6e\\+02 GB of memory, this machine has 16 GB: lower saves"),
    ],
)
def test_sizes_that_do_not_fit_the_memory(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wgf.settings.memory.machine", lambda: 16e9)
    (line,) = faults(*words)
    assert re.search(said, line), line


@pytest.mark.parametrize("words", [["network.width=1000000"], ["network=mlp", "network.width=100", "integrator=jko"]])
def test_sizes_that_have_been_run_are_let_through(words: list[str], monkeypatch: pytest.MonkeyPatch):
    """docs/benchmarks.md: a million breakpoints in 9.3 GB."""
    monkeypatch.setattr("wgf.settings.memory.machine", lambda: 16e9)
    check(composed(*words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["integrator=jko", "t_end=1e-3"], "integrator.dt=0.01 with t_end=0.001 is impossible: a step cannot"),
        (["integrator.dt=1"], "integrator.dt=1 with t_end=0.2 is impossible: a step cannot be longer than the run"),
        (["integrator.dt_min=1"], "integrator.dt_min=1 with t_end=0.2 is impossible: expected a smaller"),
        (["integrator.dt_min=1e-3", "integrator.dt=1e-4"], "integrator.dt_min=0.001 with integrator.dt=0.0001 is"),
        (["integrator=rk4", "t_end=1e9"], "1e+12 steps are more than integrator.max_steps=1e+06; raise one of"),
        (["quadrature.order=3"], "quadrature.order=3 with network.degree=3 is impossible: .* say quadrature.order=4"),
    ],
)
def test_steps_and_nodes_that_cannot_be(words: list[str], said: str):
    (line,) = faults(*words)
    assert re.search(said.replace("+", "\\+"), line), line


def test_fixed_steps_may_stop_early_or_be_many_if_one_says_so():
    check(composed("integrator=euler", "integrator.max_steps=10"))
    check(composed("integrator=euler", "integrator.dt=1e-8", "integrator.max_steps=1e8"))


def test_settings_left_out_have_their_defaults():
    check(composed("law=uniform", "~law.low"))
    check(composed("integrator=euler", "~integrator.dt"))
    (line,) = faults("law=uniform", "~law.low", "law.high=-2")
    assert line.startswith("law.low=-1.0 is not allowed: expected a number below law.high=-2")
