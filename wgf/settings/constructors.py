"""The arguments of a constructor, read from its source: configs are checked before torch is loaded.

Annotations made of `wgf.settings.ranges` become rules; the constructor itself checks everything else.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from wgf.settings import ranges

REQUIRED = object()
OPEN = "**"  # key of the setting that stands for all others of a constructor with **constants
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class Missing(Exception):
    """A target that does not exist; the text names the missing part."""


@dataclass(frozen=True)
class Setting:
    """An argument of a constructor.

    Attributes:
        rule: the values it may have, or None when nothing is known.
        default: its default, or REQUIRED.
    """

    rule: Any
    default: Any


@cache
def settings(target: str) -> dict[str, Setting] | None:
    """The settings of a class by name, without keyword-only arguments, which the runner gives.

    Args:
        target: "package.module.Class".

    Returns:
        None when nothing is known: the arguments are open (*args, **kwargs) or the constructor is not found.

    Raises:
        Missing: there is no such module or class.
    """
    for name in ancestry(target):
        _, tree, node = definition(name)
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return _arguments(part.args, _scope(tree))
    return None


@cache
def ancestry(target: str) -> tuple[str, ...]:
    """The full names of a class and of its bases that have a source, nearest first.

    Raises:
        Missing: there is no such module or class.
    """
    target, tree, node = definition(target)
    module, _, _ = target.rpartition(".")
    homes = _imported(tree, module) | {n.name: f"{module}.{n.name}" for n in tree.body if isinstance(n, ast.ClassDef)}
    found = [target]
    for base in map(ast.unparse, node.bases):
        first, dot, rest = base.partition(".")
        try:
            found += ancestry(f"{homes.get(first, first)}{dot}{rest}")
        except Missing:
            continue
    return tuple(dict.fromkeys(found))


def definition(target: str) -> tuple[str, ast.Module, ast.ClassDef]:
    """The full name of a class, its module and its definition, also where the named module imports the class."""
    module, _, name = target.rpartition(".")
    tree = _tree(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return target, tree, node
    home = _imported(tree, module).get(name, target)
    if home == target:
        raise Missing(f"module {module!r} has no class {name!r}")
    return definition(home)


@cache
def _tree(module: str) -> ast.Module:
    try:
        source = _source(module)
        return ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise Missing(f"module {module!r} cannot be read: {error}") from None


def _source(module: str) -> Path:
    """The file of a module, found without importing the packages around it, which would run them.

    Raises:
        Missing: there is none.
    """
    places: Any = None
    for end in [k for k, c in enumerate(module) if c == "."] + [len(module)]:
        try:
            name = module[:end]
            spec = find_spec(name) if places is None else PathFinder.find_spec(name, places)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise Missing(f"there is no module {module!r} in Python's path (PYTHONPATH)")
        places = spec.submodule_search_locations or ()
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise Missing(f"there is no module {module!r} in Python's path (PYTHONPATH)")
    return Path(spec.origin)


def _imported(tree: ast.Module, module: str) -> dict[str, str]:
    """The full names of the classes and modules that a module imports."""
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {
                (a.asname or a.name.partition(".")[0]): a.name if a.asname else a.name.partition(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            home = (
                ".".join([*parts[: len(parts) - node.level], *([node.module] if node.module else [])])
                if node.level
                else node.module
            )
            names |= {a.asname or a.name: f"{home}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":  # in `wgf`, which imports late
            names |= {name: f"{home}.{name}" for name, home in ast.literal_eval(node.value).items()}
    return names


def _scope(tree: ast.Module) -> dict[str, Any]:
    """The names that annotations may use: those of `wgf.settings.ranges` and assignments in the module."""
    scope = vars(ranges) | {"int": int, "float": float}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            scope[node.targets[0].id] = _value(node.value, scope)
    return scope


def _value(node: ast.expr, scope: dict[str, Any]) -> Any:
    """The number or the rule that an expression of the source stands for; None for any other. No code runs."""
    try:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return scope.get(node.id)
            case ast.Attribute(value=ast.Name(id="math")):
                return {"inf": math.inf, "pi": math.pi, "e": math.e}.get(node.attr)
            case ast.Attribute():  # ranges.Positive, wgf.settings.ranges.Positive
                return vars(ranges).get(node.attr)
            case ast.Tuple() | ast.List():
                return tuple(_value(entry, scope) for entry in node.elts)
            case ast.UnaryOp(op=ast.USub()):
                return -_value(node.operand, scope)
            case ast.BinOp() if type(node.op) in ARITHMETIC:
                return ARITHMETIC[type(node.op)](float(_value(node.left, scope)), float(_value(node.right, scope)))
            case ast.Subscript(slice=ast.Tuple(elts=[_, *rules])):  # Annotated[type, rule]
                return Annotated[(object, *(_value(rule, scope) for rule in rules))]
            case ast.Call(func=ast.Name() as name) if isinstance(_value(name, scope), type):
                made = {str(k.arg): _value(k.value, scope) for k in node.keywords}
                kind = _value(name, scope)
                return kind(*(_value(a, scope) for a in node.args), **made) if hasattr(kind, "admits") else None
    except (TypeError, ValueError, ArithmeticError):
        pass
    return None


def _arguments(arguments: ast.arguments, scope: dict[str, Any]) -> dict[str, Setting] | None:
    if arguments.vararg or (arguments.kwarg and not arguments.kwarg.annotation):
        return None
    given = [*arguments.posonlyargs, *arguments.args][1:]  # without self
    defaults = [REQUIRED] * (len(given) - len(arguments.defaults)) + [_value(d, scope) for d in arguments.defaults]
    found = {
        argument.arg: Setting(argument.annotation and ranges.rule_of(_value(argument.annotation, scope)), default)
        for argument, default in zip(given, defaults, strict=True)
    }
    if arguments.kwarg and arguments.kwarg.annotation:
        found[OPEN] = Setting(ranges.rule_of(_value(arguments.kwarg.annotation, scope)), None)
    return found
