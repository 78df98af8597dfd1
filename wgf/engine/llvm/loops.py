"""The instructions of LLVM for loops over a `range` whose step is a known number.

numba emits 85 for each: it makes structures of the range, of where the loop is and of each turn, and divides to count
the turns. Here Python holds these, and LLVM gets numbers only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.lowering import Lower

INTEGER = ir.IntType(64)


@dataclass(frozen=True)
class Range:
    """A range. No instruction can hold it: code that does not loop over it does not compile."""

    start: Any
    stop: Any
    step: ir.Constant


@dataclass(frozen=True)
class Place:
    """Where a loop over a range is: the address of the next number."""

    of: Range
    next: Any


@dataclass(frozen=True)
class Turn:
    """A turn of a loop: the number, and whether it is in the range."""

    number: Any
    inside: Any


class Loops(Lower):
    """numba's instructions, with own ones for loops."""

    def lower_call(self, resty: Any, expr: Any) -> Any:
        if resty == types.range_state64_type:
            ends = [self._cast_var(each, types.int64) for each in expr.args]
            step = ends.pop() if len(ends) == 3 else INTEGER(1)
            start = ends.pop(0) if len(ends) == 2 else INTEGER(0)
            if isinstance(step, ir.Constant):
                return Range(start, ends[0], step)
        return super().lower_call(resty, expr)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        if expr.op in ("getiter", "iternext", "pair_first", "pair_second"):
            known = self.loadvar(expr.value.name)
            if isinstance(known, Range):
                return self._begin(known)
            if isinstance(known, Place):
                return self._turn(known)
            if isinstance(known, Turn):
                return known.number if expr.op == "pair_first" else known.inside
        return super().lower_expr(resty, expr)

    def _begin(self, known: Range) -> Place:
        with self.builder.goto_entry_block():
            place = Place(known, self.builder.alloca(INTEGER))
        self.builder.store(known.start, place.next)
        return place

    def _turn(self, place: Place) -> Turn:
        number, step = self.builder.load(place.next), place.of.step
        inside = self.builder.icmp_signed("<" if step.constant > 0 else ">", number, place.of.stop)
        self.builder.store(self.builder.add(number, step, flags=["nsw"]), place.next)
        return Turn(number, inside)
