"""Nothing that comes from elsewhere runs code: checkpoints, solutions, cached references, configs, targets, sources."""

import hashlib
import io
import os
import pickle
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import called
from composed_configs import changed
from hypothesis import given
from hypothesis import strategies as st

from wgf.errors import ConfigError
from wgf.problem.equations import LinearTransport
from wgf.problem.interaction import Zero
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.well_posed import check_problem
from wgf.reference_solutions.choose import _load
from wgf.run.callbacks.checkpoint import FORMAT, latest
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
    """Neither a pickle in its place, nor one with the right checksum."""
    buffer = io.BytesIO()
    torch.save({"theta": torch.zeros(2), "step": 3, "trap": Trap(hacked)}, buffer)
    content = buffer.getvalue()
    seal = f"\nwgf checkpoint {FORMAT} sha256 {hashlib.sha256(content).hexdigest()}\n".encode()
    (tmp_path / "checkpoints").mkdir()
    for step, data in enumerate([content, content + seal, pickle.dumps(Trap(hacked))]):
        (tmp_path / "checkpoints" / f"step-0000000{step}.pt").write_bytes(data)
    with pytest.raises(ConfigError, match=r"resume=.*none of its 3 checkpoints can be read \(.*; start a new run"):
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
    assert _load(tmp_path / "a.npz", problem) is None
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
from wgf import Base
from wgf.settings.ranges import Choice, Positive, Range
from typing import Annotated
os.mkdir({hacked!r})
Small = Annotated[float, Range(low=0.0, high=2**3, open_high=True)]
Evil = Annotated[float, os.mkdir({hacked!r})]
class Mine({base}):
    def __init__(self, a: Small = 1.0, b: Evil = os.mkdir({hacked!r}), c: Annotated[str, Choice("x", "y")] = "x"): ...
"""


@pytest.mark.parametrize(
    ("root", "base"), [("wgf", "wgf.Base"), ("wgf.problem.base", "wgf.problem.base.Base"), ("wgf", "Base")]
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
        with pytest.raises(ConfigError, match=r"law.a=9.0 is not allowed: expected a finite number >= 0 and < 8"):
            check(cfg)
    assert package.name not in sys.modules
    assert not hacked.exists()


# Hydra

HYDRA = """
+hydra.callbacks.a._target_=os.mkdir
hydra.callbacks.gate._target_=wgf.integrators.status.Status
+hydra.callbacks.a=3
hydra.job_logging.handlers.console.class=os.mkdir
+hydra.hydra_logging.handlers.a.class=subprocess.Popen
+hydra.hydra_logging.handlers.a.class=logging.os.system
+hydra.hydra_logging.handlers.a='${evil}'
+hydra.hydra_logging.handlers.a.stream=ext://evil.stream
+hydra.callbacks.gate.a='${evil}'
+hydra.launcher.a._target_=os.mkdir
+hydra.sweeper.params.a=[{_target_:hydra_plugins.wgf_sweeper.logging.os.mkdir}]
"""
ALLOWED = """
hydra.run.dir=x
hydra.verbose=true
hydra/job_logging=none
hydra/job_logging=default
-m seed=1,2
-m seed=1,2 hydra.verbose=true
-m seed=1,2 hydra/sweeper=search hydra/launcher=basic hydra.sweep.dir=x
"""


@pytest.mark.parametrize("word", HYDRA.split())
def test_a_config_makes_hydra_run_nothing(word: str):
    with pytest.raises(ConfigError, match="not allowed: a config may run no code, drop it"):
        check_hydra(parsed([word]))


@pytest.mark.parametrize("words", ALLOWED[:-1].split("\n"))
def test_harmless_settings_of_hydra_are_allowed(words: str):
    check_hydra(parsed(words.split()))


def written(folder: Path, **files: str) -> Path:
    """A folder of choices; in the names of its files `__` stands for a slash."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize("place", ["--config-name=evil", "experiment=evil", "-m experiment=evil seed=1,2"])
@pytest.mark.parametrize("folder", ["mine", "my own"])
def test_a_folder_of_choices_runs_no_code(tmp_path: Path, hacked: Path, place: str, folder: str):
    """Wherever in it the trap is, and whatever the folder is called."""
    trap = f": {{evil: {{_target_: os.mkdir, path: {hacked}}}}}\n"
    if "name" in place:
        written(tmp_path / folder, evil=f"defaults: [config, _self_]\nhydra:\n  callbacks{trap}")
    else:
        written(tmp_path / folder, experiment__evil=f"# @package hydra.callbacks\nx{trap}")
    status, _, said = called(tmp_path, "--config-dir", str(tmp_path / folder), *place.split())
    assert (status, "may run no code" in said) == (2, True), said
    assert not hacked.exists()


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("callbacks\na: {_target_: os.mkdir}", r"hydra.callbacks.a=.*os.mkdir.* is not allowed"),
        ("job_logging.formatters.short\n(): os.mkdir", r"\(\)=os.mkdir in a logging config is not allowed"),
    ],
)
def test_the_same_files_are_checked_that_are_run(tmp_path: Path, package: str, said: str):
    """A folder of choices adds files and replaces none: its own config.yaml must not lead the check elsewhere."""
    written(tmp_path, config="a: 1\n", experiment__evil=f"# @package hydra.{package}\n")
    with pytest.raises(ConfigError, match=said):
        check_hydra(parsed(["--config-dir", str(tmp_path), "experiment=evil"]))


def test_what_does_not_compose_does_not_start(tmp_path: Path):
    written(tmp_path, mine="defaults: [config, nothing]\n")
    with pytest.raises(Exception, match="nothing"):
        check_hydra(parsed(["--config-dir", str(tmp_path), "--config-name", "mine"]))


SWEEP = ["-m", "--config-dir", "mine"]
JOB = ["debug=smoke", "hydra/launcher=basic"]


def test_a_later_job_of_a_sweep_runs_no_code(tmp_path: Path, hacked: Path):
    trap = f"hydra: {{job_logging: {{formatters: {{evil: {{(): os.mkdir, path: {hacked}}}}}}}}}"
    texts = {"experiment__plain": "seed: 3\n", "experiment__evil": f"{trap}\n"}
    written(tmp_path / "mine", **{name: f"# @package _global_\n{text}" for name, text in texts.items()})
    status, _, said = called(tmp_path, *SWEEP, *JOB, "experiment=plain,evil")
    assert (status, "may run no code" in said) == (2, True), said
    assert not hacked.exists()


def test_two_harmless_choices_together_run_no_code(tmp_path: Path, hacked: Path):
    """Each of them alone selects harmless logging."""
    trap = f"formatters: {{evil: {{(): os.mkdir, path: {hacked}}}}}\n"
    plain = "# @package hydra.job_logging\nversion: 1\nroot: {level: INFO, handlers: []}\n"
    files = {f"hydra__job_logging__{pair}": plain for pair in ("ab", "ax", "yb")}
    files |= dict.fromkeys(("first__a", "first__y", "second__b", "second__x"), "# @package _global_\n{}\n")
    chosen = "{first: a}, {second: b}, {override hydra/job_logging: '${first}${second}'}"
    main = f"defaults: [config, {chosen}, _self_]\n"
    written(tmp_path / "mine", **files, hydra__job_logging__yx=plain + trap, main=main)
    status, _, said = called(tmp_path, *SWEEP, "--config-name", "main", *JOB, "first=a,y", "second=b,x")
    assert (status, "may run no code" in said) == (2, True), said
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
