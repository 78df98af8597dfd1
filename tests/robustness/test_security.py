"""Nothing that comes from elsewhere runs code: checkpoints, solutions, cached references, configs, targets, sources."""

import os
import pickle
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from composed_configs import changed
from hypothesis import given
from hypothesis import strategies as st

from wgf import cli
from wgf.errors import ConfigError
from wgf.problem.equations import LinearTransport
from wgf.problem.interaction import Zero
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.well_posed import check_problem
from wgf.reference_solutions.cache import load
from wgf.run.callbacks.checkpoint import latest
from wgf.saved_maps import SavedMaps
from wgf.settings.check import check
from wgf.settings.constructors import ancestry, settings
from wgf.settings.expression import Expression
from wgf.settings.foreign_configs import check_hydra
from wgf.settings.refusals import parsed


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def hacked(tmp_path: Path) -> Path:
    """What must not come into being."""
    return tmp_path / "hacked"


def test_the_trap_works(hacked: Path):
    pickle.loads(pickle.dumps(Trap(hacked)))
    assert hacked.exists()


def test_a_checkpoint_runs_no_code(tmp_path: Path, hacked: Path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save({"theta": torch.zeros(2), "step": 3, "trap": Trap(hacked)}, folder / "step-00000003.pt")
    (folder / "step-00000004.pt").write_bytes(pickle.dumps(Trap(hacked)))
    with pytest.raises(ConfigError, match="resume="):
        latest(tmp_path)
    assert not hacked.exists()


def test_a_solution_runs_no_code(tmp_path: Path, hacked: Path):
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(hacked)
    np.savez(tmp_path / "solution.npz", t=trap, z=trap, T=trap, dT=trap, rho0=trap)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        SavedMaps.load(tmp_path / "solution.npz")
    (tmp_path / "solution.npz").write_bytes(pickle.dumps(Trap(hacked)))
    with pytest.raises(Exception, match="pickle"):
        SavedMaps.load(tmp_path / "solution.npz")
    assert not hacked.exists()


def test_a_cached_reference_runs_no_code(tmp_path: Path, hacked: Path):
    problem = LinearTransport().problem(Gaussian(), Expressed("x**2"), Zero(), 0.1)
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Trap(hacked)))
    assert load(tmp_path / "a.npz", problem) is None
    assert not hacked.exists()


# targets


@pytest.mark.parametrize(
    "target",
    ["os.system", "builtins.eval", "subprocess.Popen", "wgf.problem.laws.Gaussian", "pickle.Unpickler", "wgf.Law", "x"],
)
def test_a_target_is_a_class_of_its_group(target: str):
    cfg = changed()
    cfg.network = {"_target_": target}
    with pytest.raises(ConfigError, match=r"network\._target_=.* (is not allowed: expected a subclass|does not exist)"):
        check(cfg)


@pytest.mark.parametrize("value", [{"_target_": "os.mkdir"}, [{"_target_": "os.mkdir"}], {"a": [{"_target_": "x"}]}])
def test_no_target_hides_in_a_setting(value):
    cfg = changed()
    cfg.network.width = value
    with pytest.raises(ConfigError, match="network has a _target_ inside one of its settings"):
        check(cfg)


OWN = """
import os
import {root}
from wgf import Law
from wgf.settings.ranges import Choice, Positive, Range
from typing import Annotated
os.mkdir({hacked!r})
Small = Annotated[float, Range(low=0.0, high=2**3, open_high=True)]
Evil = Annotated[float, os.mkdir({hacked!r})]
class Mine({base}):
    def __init__(self, a: Small = 1.0, b: Evil = os.mkdir({hacked!r}), c: Annotated[str, Choice("x", "y")] = "x"): ...
"""


@pytest.mark.parametrize(
    ("root", "base"), [("wgf", "wgf.Law"), ("wgf.problem.base", "wgf.problem.base.Law"), ("wgf", "Law")]
)
def test_a_class_of_ones_own_is_read_and_not_run(
    tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch, root: str, base: str
):
    package = tmp_path / f"package_{root.replace('.', '_')}_{base.replace('.', '_')}"
    package.mkdir()
    (package / "__init__.py").write_text(f"import os\nos.mkdir({str(hacked)!r})\n")
    (package / "laws.py").write_text(OWN.format(root=root, base=base, hacked=str(hacked)))
    (package / "more.py").write_text("from .laws import Mine\nclass Other(Mine):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("laws.Mine", "more.Other"):
        target = f"{package.name}.{name}"
        assert ancestry(target)[-1] == "wgf.problem.base.Law"
        known = settings(target)
        assert known is not None
        assert str(known["a"].rule) == "a finite number >= 0 and < 8"
        assert (known["a"].default, known["b"].rule, known["c"].default) == (1.0, None, "x")
        cfg = changed()
        cfg.law = {"_target_": target, "a": 9.0}
        with pytest.raises(ConfigError, match=r"reference.a=9.0 is not allowed: expected a finite number >= 0 and < 8"):
            check(cfg)
    assert package.name not in sys.modules
    assert not hacked.exists()


# Hydra


@pytest.mark.parametrize(
    "word",
    [
        "+hydra.callbacks.a._target_=os.mkdir",
        "hydra.callbacks.gate._target_=wgf.integrators.status.Status",
        "+hydra.callbacks.a=3",
        "hydra.job_logging.handlers.console.class=os.mkdir",
        "+hydra.hydra_logging.handlers.a.class=subprocess.Popen",
        "+hydra.hydra_logging.handlers.a.class=logging.os.system",
        "+hydra.hydra_logging.handlers.a='${evil}'",
        "+hydra.hydra_logging.handlers.a.stream=ext://evil.stream",
        "+hydra.callbacks.gate.a='${evil}'",
        "+hydra.launcher.a._target_=os.mkdir",
        "+hydra.sweeper.params.a=[{_target_:hydra_plugins.wgf_sweeper.logging.os.mkdir}]",
    ],
)
def test_hydra_makes_nothing_of_a_config_from_elsewhere(word: str):
    with pytest.raises(ConfigError, match="not allowed: a config may run no code, drop it"):
        check_hydra(parsed([word]))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["hydra.run.dir=x"],
        ["hydra.verbose=true"],
        ["hydra/job_logging=none"],
        ["hydra/job_logging=default"],
        ["-m", "seed=1,2"],
        ["-m", "seed=1,2", "hydra.verbose=true"],
        ["-m", "seed=1,2", "hydra/sweeper=search", "hydra/launcher=basic", "hydra.sweep.dir=x"],
    ],
)
def test_hydras_own_settings_stay(words: list[str]):
    check_hydra(parsed(words))


@pytest.mark.parametrize("place", ["--config-name=evil", "experiment=evil", "-m experiment=evil seed=1,2"])
@pytest.mark.parametrize("folder", ["mine", "my own"])
def test_a_folder_of_choices_runs_no_code(
    tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch, place: str, folder: str
):
    """Wherever in it the trap is, and whatever the folder is called."""
    evil = tmp_path / folder / ("" if "name" in place else "experiment") / "evil.yaml"
    evil.parent.mkdir(parents=True)
    top = "defaults: [config, _self_]\nhydra:\n  callbacks" if "name" in place else "# @package hydra.callbacks\nx"
    evil.write_text(f"{top}: {{evil: {{_target_: os.mkdir, path: {hacked}}}}}\n")
    monkeypatch.setattr(sys, "argv", ["wgf", "--config-dir", str(tmp_path / folder), *place.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert not hacked.exists()


def test_the_same_files_are_checked_that_are_run(tmp_path: Path):
    """A folder of choices adds files and replaces none: its own config.yaml must not lead the check elsewhere."""
    (tmp_path / "config.yaml").write_text("a: 1\n")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "evil.yaml").write_text("# @package hydra.callbacks\na: {_target_: os.mkdir}\n")
    with pytest.raises(ConfigError, match=r"hydra.callbacks.a=.*os.mkdir.* is not allowed"):
        check_hydra(parsed(["--config-dir", str(tmp_path), "experiment=evil"]))


def test_what_does_not_compose_does_not_start(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("defaults: [config, nothing]\n")
    with pytest.raises(Exception, match="nothing"):
        check_hydra(parsed(["--config-dir", str(tmp_path), "--config-name", "mine"]))


def test_a_sweep_runs_no_code(tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch):
    """What a job would run that is not the first."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "plain.yaml").write_text("# @package _global_\nseed: 3\n")
    trap = f"hydra: {{job_logging: {{formatters: {{evil: {{(): os.mkdir, path: {hacked}}}}}}}}}"
    (tmp_path / "mine" / "experiment" / "evil.yaml").write_text(f"# @package _global_\n{trap}\n")
    monkeypatch.chdir(tmp_path)
    words = ["-m", "--config-dir", "mine", "experiment=plain,evil", "debug=smoke", "hydra/launcher=basic"]
    monkeypatch.setattr(sys, "argv", ["wgf", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert not hacked.exists()


def test_a_trap_of_two_choices_together(tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch):
    """Each of them alone selects harmless logging."""
    mine = tmp_path / "mine"
    (mine / "hydra" / "job_logging").mkdir(parents=True)
    trap = f"formatters: {{evil: {{(): os.mkdir, path: {hacked}}}}}"
    for pair in ("ab", "ax", "yb", "yx"):
        text = "version: 1\nroot: {level: INFO, handlers: []}\n" + (f"{trap}\n" if pair == "yx" else "")
        (mine / "hydra" / "job_logging" / f"{pair}.yaml").write_text(f"# @package hydra.job_logging\n{text}")
    for group, choices in (("first", "ay"), ("second", "bx")):
        (mine / group).mkdir()
        for choice in choices:
            (mine / group / f"{choice}.yaml").write_text("# @package _global_\n{}\n")
    lines = ["defaults:", "- config", "- first: a", "- second: b", "- override hydra/job_logging: ${first}${second}"]
    (mine / "main.yaml").write_text("\n".join([*lines, "- _self_"]) + "\n")
    monkeypatch.chdir(tmp_path)
    words = ["-m", "--config-dir", "mine", "--config-name", "main", "first=a,y", "second=b,x", "debug=smoke"]
    monkeypatch.setattr(sys, "argv", ["wgf", *words, "hydra/launcher=basic"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert not hacked.exists()


def test_files_that_can_hold_anything_are_not_taken():
    for flag, name in (("--experimental-rerun", "a.pickle"), ("--config-path", "/tmp")):
        with pytest.raises(ConfigError, match=f"{flag} is not allowed"):
            check_hydra(parsed([flag, name]))


def test_the_environment_can_be_read_and_nothing_else():
    """Resolvers are those of OmegaConf and Hydra: they read variables and times, and run nothing."""
    cfg = changed()
    cfg.t_end = "${oc.decode:${oc.env:T_END_OF_TEST,0.5}}"
    check(cfg)
    assert cfg.t_end == 0.5
    for resolver in ("eval", "exec", "import", "python"):
        cfg.t_end = f"${{{resolver}:1}}"
        with pytest.raises(ConfigError, match=f"Unsupported interpolation type {resolver}"):
            check(cfg)


def test_factories_in_a_logging_file_are_refused(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    text = "# @package hydra.job_logging.formatters.short\n(): os.mkdir\npath: hacked\n"
    (tmp_path / "experiment" / "log.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"\(\)=os.mkdir in a logging config is not allowed"):
        check_hydra(parsed(["--config-dir", str(tmp_path), "experiment=log"]))


# expressions

COSTLY = [
    "9**9**9**9**9**9",
    "**".join(["9"] * 300),
    "exp(" * 49 + "x" + ")" * 49,
    "(x" + "+x" * 40 + ")**" + "9" * 200,
    "x*" * 45 + "x",
    "+".join(["exp(x)"] * 45),
    "2**-" + "9" * 300,
    "1e300**1e300",
    "0**-1",
]


@pytest.mark.parametrize("text", COSTLY, ids=lambda text: text[:20])
def test_no_expression_costs_more_than_its_length(text: str):
    start = time.process_time()
    with suppress(ConfigError):
        check_problem(LinearTransport().problem(Gaussian(), Expressed(text), Zero(), 0.1))
    assert time.process_time() - start < 2.0


@given(st.recursive(st.sampled_from(["x", "9", "1e9", "0"]), lambda s: st.tuples(s, s).map("({0[0]}**{0[1]})".format)))
def test_towers_of_powers_are_numbers_or_refused(text: str):
    x = torch.tensor([0.5, 2.0, -3.0], dtype=torch.float64)
    start = time.process_time()
    with suppress(ConfigError):
        assert Expression(text)(x).shape == x.shape
    assert time.process_time() - start < 1.0
