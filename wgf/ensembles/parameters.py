"""Parameters of an ensemble: their names and rules, and the objects of a problem with their numbers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

import numpy as np

from wgf.errors import ConfigError
from wgf.problem.equations import Problem
from wgf.settings.arguments import numbers
from wgf.settings.ranges import ListOf, Range, fault, rule_of

T = TypeVar("T")
Columns = Mapping[str, np.ndarray]
ProblemOf = Callable[[Mapping[str, float]], Problem]

SHIFT, SCALE = "shift", "scale"  # of the initial law: x = shift + scale z, z distributed as the law
LAW = "law."  # before the name of an argument of the law
OTHERS = {"low": "lower", "high": "upper", "loc": "mean"}  # attributes with other names than their arguments
TAKEN = {"status", "steps", "t", "mean", "std", "w2_error"}  # columns of `Ensemble.table`
IDLE = {"sum_rtol"}  # arguments without effect in compiled code
ANY = Range()


def columns_of(parameters: Any) -> dict[str, np.ndarray]:
    """Parameters as arrays [n].

    Raises:
        ConfigError: no parameter is given, or they do not have one length or are not finite.
    """
    if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
        raise ConfigError(fault("parameters", parameters, "arrays of numbers by name"))
    columns = {name: np.atleast_1d(numbers(f"parameters[{name!r}]", v)) for name, v in parameters.items()}
    lengths = {len(v) for v in columns.values() if v.ndim == 1} - {1}
    sound = all(v.ndim == 1 and len(v) and np.isfinite(v).all() for v in columns.values())
    if not columns or len(lengths) > 1 or not sound:
        raise ConfigError("parameters are not allowed: expected arrays of finite numbers, all of one length > 0")
    n = lengths.pop() if lengths else 1
    return {name: np.ascontiguousarray(np.broadcast_to(v, (n,))) for name, v in columns.items()}


def rules_of(thing: object) -> dict[str, Range]:
    """Numbers of an object by name, with their rules: constants of its formula, else arguments of its constructor."""
    if (expression := vars(thing).get("expression")) is not None:
        return dict.fromkeys(expression.given, ANY)
    found: dict[str, Range] = {}
    for name, rule in _arguments(type(thing)).items():
        value, rule = _value(thing, name), rule or ANY
        if isinstance(rule, ListOf) and isinstance(value, list):
            found |= {f"{name}.{k}": rule.rule for k in range(len(value))}
        elif isinstance(rule, Range) and rule.kind is float and name not in IDLE and _is_number(value):
            found[name] = rule
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(thing: object, name: str) -> Any:
    """An argument of the constructor of an object."""
    value = getattr(thing, name, getattr(thing, OTHERS.get(name, ""), None))
    return None if isinstance(value, float) and math.isinf(value) else value


@cache
def _arguments(kind: type) -> dict[str, Any]:
    """Named arguments of a constructor with their rules."""
    try:
        hints = get_type_hints(kind.__init__, include_extras=True)
    except NameError:  # a class from elsewhere names types that are not loaded
        hints = {}
    named = inspect.signature(kind).parameters.values()
    return {p.name: rule_of(hints.get(p.name)) for p in named if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}


def check(columns: Columns, law: object, things: Iterable[object]) -> None:
    """Check names and rules of parameters of a law and of other objects.

    Raises:
        ConfigError: with one line for each parameter that breaks its rule, or one for unknown names.
    """
    rules: dict[str, list[Any]] = {SHIFT: [ANY], SCALE: [Range(low=0.0, open_low=True)]}
    rules |= {LAW + name: [rule] for name, rule in rules_of(law).items()}
    for thing in things:
        for name, rule in rules_of(thing).items():
            rules.setdefault(name, []).append(rule)
    if unknown := [name for name in columns if name not in rules]:
        raise ConfigError(f"parameters: {', '.join(unknown)}: expected names among {', '.join(sorted(rules))}")
    if taken := [name for name in columns if name in TAKEN]:
        raise ConfigError(f"parameters: {', '.join(taken)} is a column of the table of an ensemble: take another name")
    bad = {
        fault(name, float(value), rule): None
        for name, column in columns.items()
        for rule in rules[name]
        for value in (column.min(), column.max())
        if not rule.admits(float(value))
    }
    if bad:
        raise ConfigError(*bad)


def with_numbers(thing: T, given: Mapping[str, float]) -> T:
    """An object that its constructor makes from other numbers; itself if none of them is its own.

    Raises:
        ConfigError: the constructor refuses the numbers.
    """
    own = {name: given[name] for name in rules_of(thing) if name in given}
    if not own:
        return thing
    others = {name: _value(thing, name) for name in _arguments(type(thing))}
    if (expression := vars(thing).get("expression")) is not None:
        others |= {"expr": expression.text} | expression.given
    elif hidden := [name for name in others if not (hasattr(thing, name) or hasattr(thing, OTHERS.get(name, "")))]:
        kind = type(thing).__name__
        raise ConfigError(f"{kind} with {', '.join(own)} as parameters: it has no attribute {hidden[0]}, its argument")
    for name, value in own.items():
        argument, _, place = name.partition(".")
        if place:
            others[argument] = [value if k == int(place) else v for k, v in enumerate(others[argument])]
        else:
            others[name] = value
    return type(thing)(**others)
