"""Parameters of an ensemble: their names and rules, and the objects of a problem with their numbers."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from types import FunctionType
from typing import Any, TypeVar, get_type_hints

import numpy as np

from wgf.errors import ConfigError
from wgf.kept import content
from wgf.problem.base import Law
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
BOUND = "convexity"  # attribute of a term that is no part of its energy
ANY = Range()
HIDDEN: Any = object()  # stands for a setting that no attribute tells
ROUNDING = 1e-12


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
    """Numbers of an object by name, with their rules: constants of its formula, else arguments of its constructor and,
    for an energy or an equation from outside wgf, its attributes."""
    expression = vars(thing).get("expression")
    found: dict[str, Range] = dict.fromkeys(expression.given, ANY) if expression is not None else {}
    if expression is not None and not isinstance(thing, Law):
        return found
    arguments = _arguments(type(thing))
    for name, rule in arguments.items():
        value, rule = _value(thing, name), rule or ANY
        if isinstance(rule, ListOf) and isinstance(value, list):
            found |= {f"{name}.{k}": rule.rule for k in range(len(value))}
        elif isinstance(rule, Range) and rule.kind is float and name not in IDLE and _is_number(value):
            found[name] = rule
    if not (_is_ours(thing) or isinstance(thing, Law)):
        others = {name for name, value in vars(thing).items() if name[0] != "_" and _is_number(value)}
        found |= dict.fromkeys(others - arguments.keys() - IDLE - {BOUND, "t"}, ANY)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_ours(thing: object) -> bool:
    """Whether an object is of a class of wgf, whose attributes are all that its constructor was given."""
    return type(thing).__module__.startswith("wgf.")


def _value(thing: object, name: str) -> Any:
    """An argument of the constructor of an object, HIDDEN where no attribute tells it."""
    if (expression := vars(thing).get("expression")) is not None:
        known = {"expr": expression.text} | expression.given
        if name in known:
            return known[name]
    value = getattr(thing, name, getattr(thing, OTHERS.get(name, ""), HIDDEN))
    rule = _arguments(type(thing))[name]
    is_none = isinstance(rule, Range) and rule.none and isinstance(value, float) and math.isinf(value)
    return None if is_none else value


@cache
def _arguments(kind: type) -> dict[str, Any]:
    """Named arguments of a constructor with their rules."""
    try:
        hints = get_type_hints(kind.__init__, include_extras=True)
    except NameError:  # a class from elsewhere names types that are not loaded
        hints = {}
    named = inspect.signature(kind).parameters.values()
    return {p.name: rule_of(hints.get(p.name)) for p in named if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


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
    """An object with other numbers; itself if none of them is its own.

    An object from outside wgf is copied: only what its constructor makes of these numbers changes, and the numbers that
    are no arguments of it.

    Raises:
        ConfigError: the constructor refuses the numbers, or what it makes of them is unknown.
    """
    own = {name: given[name] for name in rules_of(thing) if name in given}
    if not own:
        return thing
    if _is_ours(thing):
        return _made(thing, own)
    expression = vars(thing).get("expression")
    arguments = _arguments(type(thing)).keys() | (set() if expression is None else expression.given.keys())
    passed = {name: value for name, value in own.items() if name.partition(".")[0] in arguments}
    other = bare(thing)
    if passed:
        as_is, changed = vars(_made(thing, {})), vars(_made(thing, passed))
        for name in as_is.keys() | changed.keys():
            before, after = as_is.get(name, HIDDEN), changed.get(name, HIDDEN)
            if same(before, after):
                continue
            if after is HIDDEN or not same(before, vars(thing).get(name, HIDDEN)):
                raise ConfigError(
                    f"{type(thing).__name__} with {', '.join(passed)} as parameters: its constructor does not make the "
                    f"same {name} again: keep each argument as it is, as an attribute with its name"
                )
            vars(other)[name] = after
    vars(other).update({name: value for name, value in own.items() if name not in passed})
    return other


def _made(thing: T, own: Mapping[str, float]) -> T:
    """An object that the constructor makes from the arguments of another one, some of them replaced."""
    kind = type(thing)
    values = {name: _value(thing, name) for name in _arguments(kind)}
    hidden = [name for name, value in values.items() if value is HIDDEN]
    if hidden and _is_ours(thing):
        raise ConfigError(f"{kind.__name__} with {', '.join(own)} as parameters: it has no attribute {hidden[0]}")
    values = {name: value for name, value in values.items() if value is not HIDDEN}
    is_open = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(kind).parameters.values())
    if is_open and (expression := vars(thing).get("expression")) is not None:
        values |= expression.given
    for name, value in own.items():
        argument, _, place = name.partition(".")
        if place:
            values[argument] = [value if k == int(place) else v for k, v in enumerate(values[argument])]
        else:
            values[name] = value
    try:
        return kind(**values)
    except ConfigError:
        raise
    except Exception as error:  # of a class from outside wgf
        call, why = f"{kind.__name__}({', '.join(values)})", " ".join(str(error).split())
        raise ConfigError(f"{call} is impossible: {why}; keep each argument as an attribute with its name") from None


def bare(thing: T) -> T:
    """A copy without what cached properties computed."""
    other = copy.copy(thing)
    for name in [name for name in vars(other) if isinstance(getattr(type(other), name, None), cached_property)]:
        delattr(other, name)
    return other


def same(x: object, y: object) -> bool:
    """Whether two settings are the same, up to rounding."""
    if isinstance(x, float) and isinstance(y, float):
        return math.isclose(x, y, rel_tol=ROUNDING)
    if isinstance(x, dict) and isinstance(y, dict):
        return x.keys() == y.keys() and all(same(x[key], y[key]) for key in x)
    try:
        return x is y or content(_inside(x)) == content(_inside(y))
    except (TypeError, ValueError):  # of a class from outside wgf, or a function before its names have values
        return False


def _inside(value: object) -> object:
    """What a function consists of; another value itself."""
    if not isinstance(value, FunctionType):
        return value
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    return [str(id(value.__code__)), value.__defaults__, value.__kwdefaults__, cells]
