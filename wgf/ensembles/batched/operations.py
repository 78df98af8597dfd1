"""Programs of the engine in torch: one operation on whole tensors for each instruction.

A register holds a number, a tensor with one entry for each flow [B], or one row for each node [n, B].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wgf.engine.program import FIXED, NODAL, PANEL, Program
from wgf.engine.tapes.tape import CODES, TWO

OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "fma": lambda x, y, z: torch.addcmul(z, x, y),
    "equal": lambda x, y: (x == y).double(),
    "select": lambda mask, x, y: torch.where(mask != 0, x, y),
}  # all others have the name of a function of torch
ARITY = {name: 3 if name in ("select", "fma") else 2 if name in TWO else 1 for name in CODES}


class Operations:
    """A program on a device. Results are None where they are zero by definition.

    Args:
        program: the program.
        device: where the tensors are.
    """

    def __init__(self, program: Program, device: torch.device) -> None:
        names = {code: name for name, code in CODES.items()}
        self._layout = program.layout.tolist()
        self._start = torch.from_numpy(program.start).to(device).unbind()
        self._parameters = program.parameters.tolist()
        self._tables = [torch.from_numpy(table).to(device) for table in program.tables]
        self._code: list[tuple[Callable[..., Tensor], list[int], int]] = []
        for code, *operands, result in program.code.tolist():
            name = names[code]
            if name == "table":
                table, order = self._tables[operands[1]], operands[2]
                self._code.append(
                    (lambda x, table=table, order=order: tabulated(table, x, order), operands[:1], result)
                )
            else:
                self._code.append((OPERATIONS.get(name) or getattr(torch, name), operands[: ARITY[name]], result))

    def known(self, parameters: Tensor, *nodal: Tensor) -> list[Tensor]:
        """Registers that do not depend on the map.

        Args:
            parameters: numbers of each flow [p, B].
            nodal: the inputs after the first two, [n, 1] each.
        """
        registers = list(self._start)
        registers[2 : 2 + len(nodal)] = nodal
        for place, row in zip(self._parameters, parameters, strict=True):
            if place >= 0:
                registers[place] = row
        for part in (int(FIXED), int(NODAL)):
            self._execute(part, registers)
        return registers

    def results(
        self, part: int, known: list[Tensor], inputs: list[Tensor], first: int, count: int
    ) -> list[Tensor | None]:
        """Some results of a part.

        Args:
            part: the part.
            known: registers of `known`.
            inputs: the first inputs [n, B].
            first, count: places in the layout.
        """
        registers = [*inputs, *known[len(inputs) :]]
        self._execute(part, registers)
        places = self._layout[first : first + count]
        return [registers[place].expand_as(inputs[0]) if place >= 0 else None for place in places]

    def _execute(self, part: int, registers: list[Tensor]) -> None:
        for function, operands, result in self._code[self._layout[part] : self._layout[part + 1]]:
            registers[result] = function(*(registers[place] for place in operands))


def tabulated(table: Tensor, x: Tensor, order: int) -> Tensor:
    """Derivative of order 0, 1 or 2 of a tabulated function; NaN outside the table. See `wgf.engine.program`."""
    low, rate, count = table[:3]
    s = (x - low) * rate
    rows = table[3:].reshape(-1, PANEL)
    place = torch.minimum(s.nan_to_num().clamp(min=0), count - 1).long()
    t, value = 2.0 * (s - place) - 1.0, torch.zeros_like(x)
    for a in range(PANEL - 1, order - 1, -1):
        value = value * t + (1, a, a * (a - 1))[order] * rows[place, a]
    return torch.where((s >= 0) & (s <= count), (2.0 * rate) ** order * value, torch.nan)
