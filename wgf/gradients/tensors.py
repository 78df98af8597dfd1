"""Tensors that require grad inside the objects of a problem."""

from __future__ import annotations

import copy
from ast import AST
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from wgf.errors import ConfigError
from wgf.kept import PLAIN
from wgf.settings import arguments
from wgf.settings.tensors import FOREIGN, is_foreign

T = TypeVar("T")


def tensors_of(thing: object) -> list[Tensor]:
    """Tensors that require grad in the attributes of an object, at any depth, each once.

    Raises:
        ConfigError: one belongs to torch.func or to forward mode.
    """
    return [tensor for tensor, _ in _walk(thing, set(), False)]


def _walk(thing: object, seen: set[int], number: bool) -> Iterator[tuple[Tensor, bool]]:
    """The tensors, and whether they stand for numbers: in objects whose class names `derivable` arguments."""
    if type(thing) in PLAIN or id(thing) in seen or isinstance(thing, (str, bytes, type, AST)):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        if is_foreign(thing):
            raise ConfigError(f"a tensor of shape {list(thing.shape)}: {FOREIGN}")
        if thing.requires_grad:
            yield thing, number
        return
    number = number or bool(getattr(thing, "derivable", ()))
    parts: list[object] = [*vars(thing).values()] if hasattr(thing, "__dict__") else []
    parts += thing.values() if isinstance(thing, Mapping) else thing if isinstance(thing, Sequence) else []
    for part in parts:
        yield from _walk(part, seen, number)


def leaves_of(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors that require grad, and are not computed from others, from which some tensors are computed."""
    found, seen, waiting = [], set(), [get_gradient_edge(t).node for t in tensors]
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            if hasattr(node, "variable"):  # where torch accumulates the gradient of a leaf
                found.append(node.variable)
            waiting += [before for before, _ in node.next_functions if before is not None]
    return found


def replaced(thing: T, tensors: Sequence[Tensor], others: Sequence[object]) -> T:
    """Copy of an object in which others stand in the place of its tensors."""
    return copy.deepcopy(thing, {id(old): new for old, new in zip(tensors, others, strict=True)})


def plain(thing: T) -> T:
    """Copy of an object without derivatives, which keeps its numbers when a tensor changes."""
    found = list(_walk(thing, set(), False))
    values = [tensor.item() if number and not tensor.ndim else tensor.detach().clone() for tensor, number in found]
    return replaced(thing, [tensor for tensor, _ in found], values)


def number(name: str, value: Any) -> float:
    """The number of an argument that has no derivative.

    Raises:
        ConfigError: it is not one real number, or a tensor that requires grad.
    """
    if tensors_of(value):
        raise ConfigError(f"{name} requires grad, but has no derivative here: detach it")
    return arguments.number(name, value)


def points(name: str, values: Any) -> Tensor:
    """The numbers of an argument [...] in float64, with their derivatives.

    Raises:
        ConfigError: they are not real numbers, or belong to torch.func or to forward mode.
    """
    if tensors_of(values) and isinstance(values, Tensor):
        return values.double()
    return torch.from_numpy(arguments.numbers(name, values))
