"""Tensors that require grad inside the objects of a problem."""

from __future__ import annotations

import copy
from ast import AST
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from wgf.kept import PLAIN

T = TypeVar("T")


def tensors_of(thing: object) -> list[Tensor]:
    """Tensors that require grad in the attributes of an object, at any depth, each once."""
    return [tensor for tensor, _ in _walk(thing, set(), False)]


def _walk(thing: object, seen: set[int], number: bool) -> Iterator[tuple[Tensor, bool]]:
    """The tensors, and whether they stand for numbers: in objects whose class names `derivable` arguments."""
    if type(thing) in PLAIN or id(thing) in seen or isinstance(thing, (str, bytes, type, AST)):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
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
    values = [tensor.item() if number else tensor.detach().clone() for tensor, number in found]
    return replaced(thing, [tensor for tensor, _ in found], values)
