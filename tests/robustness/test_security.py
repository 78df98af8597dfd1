"""Nothing that comes from elsewhere runs code: solutions, cached references, configs, targets, sources.

Of checkpoints, see tests/run/callbacks/test_checkpoint.py."""

import os
import pickle
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composed_configs import changed
from hypothesis import given
from hypothesis import strategies as st
from refusals import refusal
from written_files import write

from wgf import cli
from wgf.errors import ConfigError
from wgf.problem.equations import LinearTransport
from wgf.problem.interaction import Zero
from wgf.problem.laws import Gaussian
from wgf.problem.potential import Expressed
from wgf.problem.well_posed import check_problem
from wgf.reference_solutions.cache import load
from wgf.saved_maps import SavedMaps
from wgf.settings.check import check
from wgf.settings.constructors import ancestry, settings
from wgf.settings.foreign_configs import check_hydra
from wgf.settings.formulas.expression import Expression
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


def test_a_solution_and_a_cached_reference_run_no_code(tmp_path: Path, hacked: Path):
    file, trap = tmp_path / "solution.npz", np.empty(1, dtype=object)
    trap[0] = Trap(hacked)
    np.savez(file, t=trap, z=trap, T=trap, dT=trap, rho0=trap)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        SavedMaps.load(file)
    file.write_bytes(pickle.dumps(Trap(hacked)))
    with pytest.raises(Exception, match="pickle"):
        SavedMaps.load(file)
    assert load(file, LinearTransport().problem(Gaussian(), Expressed("x**2"), Zero(), 0.1)) is None
    assert not hacked.exists()


TARGETS = "os.system builtins.eval subprocess.Popen wgf.problem.laws.Gaussian pickle.Unpickler wgf.Law x"
HIDDEN = [{"_target_": "os.mkdir"}, [{"_target_": "os.mkdir"}], {"a": [{"_target_": "x"}]}]
WRONG = "._target_=.* (is not allowed: expected a subclass|does not exist)"
NETWORKS: list[tuple[Any, str]] = [({"_target_": name}, WRONG) for name in TARGETS.split()]
NETWORKS += [({"width": value}, " has a _target_ inside one of its settings") for value in HIDDEN]


@pytest.mark.parametrize(("given", "said"), NETWORKS)
def test_a_target_is_a_class_of_its_group_and_hides_in_no_setting(given: Any, said: str):
    cfg = changed()
    cfg.network = {**cfg.network, **given}
    assert re.match(f"network{said}", refusal(check, cfg)[0])


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


@pytest.mark.parametrize("base", ["wgf.Base", "wgf.problem.base.Base", "Base"])
def test_a_class_of_ones_own_is_read_and_not_run(
    tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch, base: str
):
    package, root = f"package_{base.replace('.', '_')}", base.rpartition(".")[0] or "wgf"
    laws = OWN.format(root=root, base=base, hacked=str(hacked))
    init, more = f"import os\nos.mkdir({str(hacked)!r})\n", "from .laws import Mine\nclass Other(Mine):\n    pass\n"
    write(tmp_path / package, {"__init__.py": init, "laws.py": laws, "more.py": more})
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("laws.Mine", "more.Other"):
        target = f"{package}.{name}"
        assert ancestry(target)[-1] == "wgf.problem.base.Law"
        known = settings(target)
        assert known is not None
        assert str(known["a"].rule) == "a finite number >= 0 and < 8"
        assert (known["a"].default, known["b"].rule, known["c"].default) == (1.0, None, "x")
        cfg = changed()
        cfg.law = {"_target_": target, "a": 9.0}
        assert "law.a=9.0 is not allowed: expected a finite number >= 0 and < 8" in refusal(check, cfg)[0]
    assert package not in sys.modules
    assert not hacked.exists()


WORDS = """
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
hydra.launcher='${evil}'
hydra.sweeper='${evil}'
hydra.job_logging='${evil}'
+hydra.sweeper.params.a=[{_target_:hydra_plugins.wgf_sweeper.logging.os.mkdir}]
"""


@pytest.mark.parametrize("word", WORDS.split())
def test_hydra_makes_nothing_of_a_config_from_elsewhere(word: str):
    with pytest.raises(ConfigError, match="not allowed: a config may run no code, drop it"):
        check_hydra(parsed([word]))


ALLOWED = "; hydra.run.dir=x; hydra.verbose=true; hydra/job_logging=none; hydra/job_logging=default; -m seed=1,2; "
ALLOWED += "-m seed=1,2 hydra.verbose=true; -m seed=1,2 hydra/sweeper=search hydra/launcher=basic hydra.sweep.dir=x"


@pytest.mark.parametrize("words", ALLOWED.split("; "))
def test_hydras_own_settings_stay(words: str):
    check_hydra(parsed(words.split()))


def test_only_a_launcher_of_wgf_needs_no_look_at_its_file(monkeypatch):
    seen = []
    monkeypatch.setattr("wgf.settings.foreign_configs.check_node", seen.append)
    check_hydra(parsed(["hydra/launcher=ensemble", "seed=1"]))
    assert not seen
    for name in ("basic", "../launcher/ensemble"):
        check_hydra(parsed([f"hydra/launcher={name}"]))
    assert len(seen) == 2


CALLBACK = "evil: {_target_: os.mkdir, path: HACKED}"
LOGGING = "formatters: {evil: {(): os.mkdir, path: HACKED}}"
QUIET = "# @package hydra.job_logging\nversion: 1\nroot: {level: INFO, handlers: []}\n"
PAIR = "defaults: [config, {first: a}, {second: b}, {override hydra/job_logging: '${first}${second}'}, _self_]\n"
EXPERIMENT = {"experiment/evil.yaml": f"# @package hydra.callbacks\nx: {{{CALLBACK}}}\n"}
TRAPS = {
    "--config-name=evil": {"evil.yaml": f"defaults: [config, _self_]\nhydra:\n  callbacks: {{{CALLBACK}}}\n"},
    "experiment=evil": EXPERIMENT,
    "-m experiment=evil seed=1,2": EXPERIMENT,
    # what a job would run that is not the first
    "-m experiment=plain,evil debug=smoke hydra/launcher=basic": {
        "experiment/plain.yaml": "# @package _global_\nseed: 3\n",
        "experiment/evil.yaml": f"# @package _global_\nhydra: {{job_logging: {{{LOGGING}}}}}\n",
    },
    # two choices together: each of them alone selects harmless logging
    "-m --config-name main first=a,y second=b,x debug=smoke hydra/launcher=basic": {
        "main.yaml": PAIR,
        **{f"hydra/job_logging/{pair}.yaml": QUIET for pair in ("ab", "ax", "yb")},
        "hydra/job_logging/yx.yaml": f"{QUIET}{LOGGING}\n",
        **{f"{choice}.yaml": "# @package _global_\n{}\n" for choice in ("first/a", "first/y", "second/b", "second/x")},
    },
}


@pytest.mark.parametrize("words", TRAPS)
@pytest.mark.parametrize("place", ["mine", "{}/my own"])
def test_a_folder_of_choices_runs_no_code(
    tmp_path: Path, hacked: Path, monkeypatch: pytest.MonkeyPatch, capsys, words: str, place: str
):
    """Wherever in it the trap is, and whatever the folder is called."""
    folder = place.format(tmp_path)
    write(tmp_path / folder, {name: text.replace("HACKED", str(hacked)) for name, text in TRAPS[words].items()})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["wgf", "--config-dir", folder, *words.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "not allowed: a config may run no code, drop it" in capsys.readouterr().err
    assert not hacked.exists()


REFUSED = {
    # a folder of choices adds files and replaces none: its own config.yaml must not lead the check elsewhere
    "experiment=evil": r"hydra.callbacks.a=.*os.mkdir.* is not allowed",
    "experiment=log": r"\(\)=os.mkdir in a logging config is not allowed",
    "--config-name mine": "nothing",
    "--experimental-rerun a.pickle": "--experimental-rerun is not allowed",
    "--config-path /tmp": "--config-path is not allowed",
}
FILES = {
    "config.yaml": "a: 1\n",
    "experiment/evil.yaml": "# @package hydra.callbacks\na: {_target_: os.mkdir}\n",
    "experiment/log.yaml": "# @package hydra.job_logging.formatters.short\n(): os.mkdir\npath: hacked\n",
    "mine.yaml": "defaults: [config, nothing]\n",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_the_check_of_hydra_refuses(tmp_path: Path, words: str):
    error = Exception if "mine" in words else ConfigError  # what does not compose does not start
    with pytest.raises(error, match=REFUSED[words]):
        check_hydra(parsed(["--config-dir", str(write(tmp_path, FILES)), *words.split()]))


def test_the_environment_can_be_read_and_nothing_else():
    """Resolvers are those of OmegaConf and Hydra: they read variables and times, and run nothing."""
    cfg = changed()
    cfg.t_end = "${oc.decode:${oc.env:T_END_OF_TEST,0.5}}"
    check(cfg)
    assert cfg.t_end == 0.5
    for resolver in ("eval", "exec", "import", "python"):
        cfg.t_end = f"${{{resolver}:1}}"
        assert f"Unsupported interpolation type {resolver}" in refusal(check, cfg)[0]


COSTLY = ["9**9**9**9**9**9", "**".join(["9"] * 300), "exp(" * 49 + "x" + ")" * 49, "x*" * 45 + "x", "0**-1"]
COSTLY += ["(x" + "+x" * 40 + ")**" + "9" * 200, "+".join(["exp(x)"] * 45), "2**-" + "9" * 300, "1e300**1e300"]


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
