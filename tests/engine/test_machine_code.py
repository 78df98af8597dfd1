"""How functions become machine code: parts, entries, and numba while it compiles them."""

import subprocess
import sys

import numba
import numpy as np
import pytest
from compiled_functions import entry
from numba.core import interpreter
from numba.core.postproc import PostProcessor
from numba.core.types.functions import BaseFunction

from wgf.engine import machine_code
from wgf.engine.machine_code import brief, compiled


@compiled
def square(x):
    return x * x


@compiled
def shared(x, k):
    return square(x[k]) + min(x[k - 1], 2.0)  # min is a function that numba compiles on its own


@compiled
def other(x, k):
    return 3 * square(x[k])


@entry
def both(x, k):
    x[0] = shared(x, k) + other(x, k)


@entry
def one(x, k):
    x[0] = shared(x, k)


def test_entries_share_the_parts_that_they_call():
    x = np.array([0.0, 1.5, 4.0, 5.0])
    for k, low in ((2, 1.5), (3, 2.0)):
        both(x, k)
        assert x[0] == 4 * x[k] ** 2 + low
        one(x, k)
        assert x[0] == x[k] ** 2 + low


def test_types_of_a_call_depend_on_its_arguments():
    @entry
    def sums(whole, real):
        whole[0], real[0] = whole[0] + 1, real[0] + 1
        whole[1], real[1] = whole[0] * whole[0], real[0] * real[0]

    whole, real = np.array([2, 0]), np.array([0.5, 0.0])
    sums(whole, real)
    assert whole.tolist() == [3, 9]
    assert real.tolist() == [1.5, 2.25]


def test_numba_is_as_before_after_a_compile():
    def parts():
        return BaseFunction.get_call_type, interpreter.peep_hole_delete_with_exit, PostProcessor.run

    @brief()
    def fails():
        return 1 / 0

    before = parts()
    with pytest.raises(ZeroDivisionError):
        fails()
    with brief():
        assert not any(now is then for now, then in zip(parts(), before, strict=True))
    assert parts() == before


def kept(function):
    """An entry that is kept on the disk, as another process would make it."""
    return machine_code.entry(function)


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("left", [0, 40])
def test_a_file_that_was_cut_off_is_made_anew(suffix, left, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def doubled(x):
        x[0] = 2 * x[0]

    def hits():
        x, own = np.array([3.0]), kept(doubled)
        own(x)
        assert x[0] == 6.0
        return sum(own.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    (file,) = tmp_path.rglob(f"*.{suffix}")
    file.write_bytes(file.read_bytes()[:left])
    assert [hits(), hits()] == [0, 1]


@pytest.mark.parametrize("plain", [True, False])
def test_the_first_compilation_is_announced_once(plain, monkeypatch, capsys, caplog):
    """On the terminal in plain Python, where nobody has set up logging; else in the log."""
    monkeypatch.setattr(machine_code.log, "propagate", not plain)
    machine_code.announce.cache_clear()

    def tripled(x):
        x[0] = 3 * x[0]

    with caplog.at_level("INFO", "wgf"):
        for _ in range(2):
            entry(tripled)(np.array([1.0]))
    terminal = capsys.readouterr().err.splitlines()
    assert [len(terminal), len(caplog.messages)] == ([1, 0] if plain else [0, 1])
    assert "compiling the engine for this machine, once" in (terminal or caplog.messages)[0]


FAILURES = """
import logging, sys
import wgf
logging.basicConfig(level="INFO", format="%(message)s", stream=sys.stdout)
small = dict(t_end=0.01, saves=1, network=wgf.Spline(6, base=wgf.Gaussian()))

def attempt(name):
    print("case", name)
    for engine in ("repeated", "compiled"):
        try:
            flow = wgf.solve(wgf.FokkerPlanck(), engine=engine, **small)
            print(type(flow.integrator).__name__)
        except wgf.ConfigError as error:
            print(error)
    try:
        wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [1.0]}, **small)
    except wgf.ConfigError as error:
        print(error)

sys.modules["numba"] = None
attempt("missing")
del sys.modules["numba"]
from numba.core import caching
from numba.core.typing import arraydecl
known, arraydecl.GetItemBuffer = arraydecl.GetItemBuffer, None
del arraydecl.GetItemBuffer
attempt("old")
arraydecl.GetItemBuffer = known
locators = caching.CompileResultCacheImpl._locator_classes
caching.CompileResultCacheImpl._locator_classes = []
attempt("no folder")
caching.CompileResultCacheImpl._locator_classes = locators
attempt("sound")
"""


def test_without_numba_torch_computes_and_says_why():
    answer = subprocess.run([sys.executable, "-c", FAILURES], capture_output=True, text=True, timeout=100)
    assert answer.returncode == 0, answer.stderr
    cases = {case.split("\n")[0]: case.splitlines()[1:] for case in answer.stdout.split("case ")[1:]}
    assert [line for line in cases.pop("sound") if "compiling" not in line] == ["Compiled", "Compiled"]
    reasons = {"missing": "cannot be loaded", "old": "cannot import name", "no folder": "no locator available"}
    assert cases.keys() == reasons.keys()
    for name, (logged, used, refused, ensemble) in cases.items():
        assert logged.startswith("engine=torch: numba")
        assert used == "Rodas4"
        assert refused.endswith("use engine=auto or engine=torch")
        assert ensemble.endswith("use wgf.solve for each flow")
        assert all(reasons[name] in line for line in (logged, refused, ensemble))
