"""Parts of a tape as short code: a product and its sum in one instruction, and few registers, so that a program stays
in the cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from wgf.engine.tapes.tape import CODES, TWO, Tape

Code = tuple[int, ...]  # operation, three operands, result
NAMES = {code: name for name, code in CODES.items()}
ADD, MUL, FMA = (CODES[name] for name in ("add", "mul", "fma"))


def read(code: Code) -> tuple[int, ...]:
    """Registers that an instruction reads."""
    name = NAMES[code[0]]
    return code[1 : 4 if name in ("select", "fma") else 3 if name in TWO else 2]


def needed(tape: Tape, results: Iterable[int | None], level: int) -> list[Code]:
    """The instructions of one level of a tape that some results need."""
    wanted = {r for r in results if r is not None}
    kept: list[Code] = []
    for code in reversed(tape.code):
        if code[4] in wanted:
            wanted |= set(read(code))
            if tape.level[code[4]] == level:
                kept.append(code)
    return kept[::-1]


def fused(part: list[Code], results: Collection[int | None]) -> list[Code]:
    """The same part with u v + w as one instruction where nothing else needs u v."""
    uses = Counter(r for code in part for r in read(code)) + Counter(r for r in results if r is not None)
    products = {code[4]: code for code in part if code[0] == MUL and uses[code[4]] == 1}
    found: list[Code] = []
    for op, a, b, c, out in part:
        product = (products.get(a) or products.get(b)) if op == ADD else None
        if product is None:
            found.append((op, a, b, c, out))
        else:
            found.remove(product)
            found.append((FMA, *product[1:3], b if product[4] == a else a, out))
    return found


def placed(
    part: list[Code], results: Collection[int | None], place: dict[int, int]
) -> tuple[list[Code], dict[int, int]]:
    """The same part with other numbers of registers: those of `place`, and after these as few as possible; and all
    numbers of the new registers by the old ones."""
    last = {r: k for k, code in enumerate(part) for r in read(code)}
    where, free, top = dict(place), [], len(place)
    found: list[Code] = []
    for k, code in enumerate(part):
        operands = read(code)
        renamed = [where[r] for r in operands]
        free += [where[r] for r in dict.fromkeys(operands) if last[r] == k and r not in place and r not in results]
        if code[4] not in place:
            if not free:
                free, top = [top], top + 1
            where[code[4]] = free.pop()
        found.append((code[0], *renamed, *code[1 + len(operands) : 4], where[code[4]]))
    return found, where
