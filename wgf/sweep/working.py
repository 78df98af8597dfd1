"""What a command says while it works and prints nothing else, on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from rich.console import Console

Part = TypeVar("Part")


def working(what: str) -> AbstractContextManager[object]:
    """A line on a terminal for the duration of a block; nothing elsewhere."""
    console = Console(stderr=True)
    return console.status(what) if console.is_terminal else nullcontext()


def counted(what: str, parts: Mapping[str, Part]) -> Iterator[tuple[str, Part]]:
    """The parts by their names: on a terminal a line counts them while it lasts, elsewhere a line says how many.

    Args:
        what: what the parts are, such as "figures".
        parts: name -> part.
    """
    console = Console(stderr=True)
    if parts and not console.is_terminal:
        console.print(f"{what}: {', '.join(parts)}", soft_wrap=True, markup=False, highlight=False)
    with console.status(what) as status:
        for k, (name, part) in enumerate(parts.items(), 1):
            status.update(f"{what} {k} of {len(parts)}: {name}")
            yield name, part
