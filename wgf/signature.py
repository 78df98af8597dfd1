"""What a class takes in its constructor, read from its source: a config is checked before torch is loaded.

Annotations made of `wgf.ranges` become rules; whatever else an annotation says is left to the constructor itself.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

from wgf import ranges

REQUIRED = object()


class Missing(Exception):
    """The target cannot be found; the text says what is missing."""


@dataclass(frozen=True)
class Setting:
    """An argument.

    Attributes:
        rule: what it may be, or None when nothing is known.
        default: its default, or REQUIRED.
    """

    rule: Any
    default: Any


@cache
def settings(target: str) -> dict[str, Setting] | None:
    """The settings of a class by name; keyword-only arguments are the runner's to give and do not count.

    Args:
        target: "package.module.Class".

    Returns:
        None when nothing is known: the arguments are open (*args, **kwargs) or the constructor is not found.

    Raises:
        Missing: there is no such module or class.
    """
    module, _, name = target.rpartition(".")
    tree = _tree(module)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        raise Missing(f"module {module!r} has no class {name!r}")
    for node in classes[name].body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return _arguments(node.args, _scope(tree))
    homes = dict.fromkeys(classes, module) | _imported(tree)
    for base in map(ast.unparse, classes[name].bases):
        try:
            return settings(f"{homes.get(base, '')}.{base}")
        except Missing:
            continue
    return None


@cache
def _tree(module: str) -> ast.Module:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise Missing(f"there is no module {module!r}")
    with open(spec.origin, encoding="utf-8") as file:
        return ast.parse(file.read())


def _imported(tree: ast.Module) -> dict[str, str]:
    """The home of every name a module imports from another."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in imports for alias in node.names if node.module and not node.level}


def _scope(tree: ast.Module) -> dict[str, Any]:
    """What annotations may be made of: `wgf.ranges` and the module's own `Name = Annotated[...]`."""
    scope = dict(vars(ranges))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            scope[node.targets[0].id] = _value(node.value, scope)
    return scope


def _value(node: ast.expr, scope: dict[str, Any]) -> Any:
    """What an expression of the source stands for, as far as the rules go; None beyond."""
    try:
        return eval(ast.unparse(node), {"__builtins__": {"str": str, "int": int, "float": float}}, scope)
    except Exception:
        return None


def _arguments(arguments: ast.arguments, scope: dict[str, Any]) -> dict[str, Setting] | None:
    if arguments.vararg or arguments.kwarg:
        return None
    given = [*arguments.posonlyargs, *arguments.args][1:]  # without self
    defaults = [REQUIRED] * (len(given) - len(arguments.defaults)) + [_value(d, scope) for d in arguments.defaults]
    return {
        argument.arg: Setting(argument.annotation and ranges.rule_of(_value(argument.annotation, scope)), default)
        for argument, default in zip(given, defaults, strict=True)
    }
