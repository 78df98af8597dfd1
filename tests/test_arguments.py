"""Python API: flows can be copied and not damaged, and every wrong argument gets one clear line."""

import copy
import inspect
import math
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import wgf
from wgf.settings.arguments import numbers


@cache
def flow() -> wgf.Flow:
    return wgf.solve(wgf.FokkerPlanck(), potential="x**4/4 - x**2/2", t_end=0.1, saves=2)


@cache
def flows() -> wgf.Ensemble:
    return wgf.ensemble(wgf.FokkerPlanck(), {"diffusion": [1.0, 2.0]}, t_end=0.1)


# copies


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"network": wgf.TwoSidedReLU(8, base=wgf.Gaussian())},
        {"network": wgf.TwoSidedReLU(6, train="all", base=wgf.Gaussian())},
        {"network": wgf.MLP(4, base=wgf.Gaussian(), generator=torch.Generator().manual_seed(0))},
        {"engine": "compiled"},
        {"law": wgf.Mixture()},
        {"law": [1.0, 2.0, 3.0], "interaction": wgf.interactions.Log(0.1), "pde": wgf.AggregationDiffusion()},
    ],
    ids=["spline", "relu", "knots", "mlp", "compiled", "mixture", "samples"],
)
def test_a_flow_can_be_pickled_and_copied(options: dict[str, Any]):
    options = {"pde": wgf.FokkerPlanck(), "potential": "x**2", "t_end": 0.01, "saves": 2, **options}
    computed = wgf.solve(options.pop("pde"), **options)
    _ = computed.saved_maps, computed.reference_solution  # a copy does without what the flow has cached
    for other in (pickle.loads(pickle.dumps(computed)), copy.deepcopy(computed), copy.copy(computed)):
        assert other.map(0.007, [0.3, 1.0]).tolist() == computed.map(0.007, [0.3, 1.0]).tolist()
        assert other.saved_maps.T.tolist() == computed.saved_maps.T.tolist()
        assert (other.status, repr(other)) == (computed.status, repr(computed))


def test_an_ensemble_can_be_pickled_and_copied():
    for other in (pickle.loads(pickle.dumps(flows())), copy.deepcopy(flows())):
        assert other.quantile(None, 0.9).tolist() == flows().quantile(None, 0.9).tolist()


def test_results_cannot_be_damaged_by_accident():
    for array in (flow().t, flow().saved_maps.T, flows().coordinates, flows().t):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 3.0
    for name in ("t", "status", "saved"):
        with pytest.raises(AttributeError):
            setattr(flow(), name, None)
    before = flow().map(0.1, 0.5)
    flow().parameters(0.1).zero_()
    assert flow().map(0.1, 0.5) == before
    given = np.linspace(0.0, 1.0, 3)
    wgf.SavedMaps(given, given, np.ones((3, 3)), np.ones((3, 3)), given)
    given[0] = 1.0  # the caller keeps the right to write


# what the flow answers to


def test_numbers_of_every_type():
    x = flow().map(0.1, 0.25)
    for z in (0.25, np.float32(0.25), torch.tensor(0.25), np.ma.array(0.25)):
        assert flow().map(np.float64(0.1), z) == x
        assert flow().map(torch.tensor(0.1, dtype=torch.float64), [z])[0] == x
    assert flow().map(0.1, torch.tensor(0.25, requires_grad=True)) == x
    hidden = np.ma.masked_array([0.25, 0.5], [0, 1])
    for name in ("map", "slope", "inverse", "density", "cdf"):
        found = getattr(flow(), name)(0.1, hidden)
        assert np.isfinite(found[0])
        assert np.isnan(found[1])
    assert flow().map(0.1, np.ones((0, 2))).shape == (0, 2)
    assert numbers("x", [1, 2]).dtype == np.float64


def test_within_inference_mode():
    with torch.inference_mode():
        inside = wgf.solve(wgf.FokkerPlanck(), potential="x**4/4 - x**2/2", t_end=0.1, saves=2)
        answers = inside.map(0.07, 0.3), inside.w2(wgf.Gaussian()), inside.certificate(rich=False).bound
    assert answers == (flow().map(0.07, 0.3), flow().w2(wgf.Gaussian()), flow().certificate(rich=False).bound)
    assert not inside.parameters(0.1).is_inference()


# what is refused

GIVEN = {
    "base": wgf.Gaussian(),
    "t": 0.1,
    "z": 0.0,
    "x": 0.0,
    "u": 0.5,
    "n": 3,
    "other": wgf.Gaussian(),
    "pde": wgf.FokkerPlanck(),
    "t_end": 1e-3,
    "parameters": {"diffusion": [1.0]},
    "expr": "x**2",
    "path": "missing",
    "values": [1.0, 2.0, 3.0],
    "order": 1,
}
WRONG = ["x", "", None, math.nan, math.inf, -1, 1j, [], [[1, 2], [3]], ["a"], {}, object(), b"x", [1.0, 2.0]]
WRONG += [np.array([1, math.nan]), torch.tensor([1j]), wgf.Gaussian]
NAMES = "map slope inverse density cdf quantile sample w1 w2 distance state parameters plot"
OF_FLOW = [(f"flow.{name}", lambda name=name: getattr(flow(), name)) for name in NAMES.split()]
NAMES = "map quantile density moment std w2"
OF_FLOWS = [(f"ensemble.{name}", lambda name=name: getattr(flows(), name)) for name in NAMES.split()]
CLASSES = [
    (f"wgf.{name}", lambda thing=thing: thing)
    for name in wgf.__all__
    if inspect.isclass(thing := getattr(wgf, name))
    and not inspect.isabstract(thing)
    and not issubclass(thing, (wgf.Flow, wgf.Ensemble, wgf.Status, wgf.SavedMaps, BaseException))
]
CALLS = [("wgf.solve", lambda: wgf.solve), ("wgf.ensemble", lambda: wgf.ensemble), *OF_FLOW, *OF_FLOWS, *CLASSES]


def fault_of(function: Callable, call: dict[str, Any]) -> Exception | None:
    """The error of a call, or None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            function(**call)
        except Exception as error:
            return error
    return None


@pytest.mark.parametrize("get", [get for _, get in CALLS], ids=[name for name, _ in CALLS])
def test_wrong_arguments_get_one_line(get: Callable[[], Callable]):
    function = get()
    parameters = inspect.signature(function).parameters.values()
    named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    needed = {each.name for each in named if each.default is each.empty}
    for each in named:
        for wrong in WRONG:
            call = {name: value for name, value in GIVEN.items() if name in needed} | {each.name: wrong}
            error = fault_of(function, call)
            lines = str(error).split("\n")
            missing = isinstance(error, TypeError) and "required" in lines[0]  # Python's own line
            assert error is None or missing or isinstance(error, wgf.ConfigError), (each.name, wrong, error)
            assert all(0 < len(line) < 700 for line in lines), (each.name, wrong)


def test_a_wrong_argument_is_named():
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: flow().w2("x"), "other='x' is not allowed: expected a flow, a law, samples, or a map (t, z) -> T"),
        (lambda: flow().density(0.1, "x"), "x='x' is not allowed: expected a real number or an array of them"),
        (lambda: flow().map([0.1, 0.2], 0), "t=[0.1, 0.2] is not allowed: expected one real number"),
        (lambda: flow().map(0.2, 0), "t=0.2 is not allowed: expected a time from 0 to 0.1"),
        (lambda: flow().sample(0.1, -1), "n=-1 is not allowed: expected a whole number >= 0"),
        (lambda: flow().certificate(0.07), "t=0.07 is not allowed: expected a saved time, one of [0.0, 0.05, 0.1]"),
        (lambda: flows().w2(2), "k=2 is not allowed: expected a whole number >= -2 and <= 1"),
        (lambda: flows().map(0.3, 0.0), "t=0.3 is not allowed: expected a saved time"),
        (lambda: flow().save(""), "path='' is not allowed: expected the path of a file"),
        (lambda: wgf.Spline(base=None), "base=None is not allowed: expected a law with a density"),
    ]
    for call, line in cases:
        with pytest.raises(wgf.ConfigError) as caught:
            call()
        assert str(caught.value).startswith(line)
