"""Programs of the way back: an energy's derivatives along directions, and their derivatives in the map and in numbers.

For the energy e(f, f') of a node and directions with values a and slopes b, the first part of a program holds the
derivatives of e_f a + e_f' b in f, in f' and in each number; the second part those of e_ff a + e_ff' b + e_f'f' c.
For a kernel W(r) these are W' a and W'' a.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wgf.engine.arrays import Energy
from wgf.engine.backward.reverse import reverse
from wgf.engine.energies import INPUTS, NO_TERM, is_logarithmic
from wgf.engine.program import Program, program
from wgf.engine.tapes.tape import Jet, Tape, Untraceable
from wgf.engine.tapes.traced import Traced, record, variable
from wgf.kept import Kept, content
from wgf.problem.energy import Term

DIRECTIONS = ("a", "b", "c")
MOST = 64  # energies that are kept
Bind = Callable[[Sequence[object]], Sequence[Term]]
_energies = Kept[Energy | Untraceable](MOST)


def backward_energy(bind: Bind, count: int) -> Energy:
    """Programs of the way back, the same for earlier terms of the same form.

    Args:
        bind: the terms of the energy with others in the place of some numbers.
        count: of these numbers, which are the parameters of the programs.

    Returns:
        programs with other parts than usual; its `term` is the parameter that is the strength of a quadratic
        interaction, if one is.

    Raises:
        Untraceable: no tape can hold a term.
    """
    names = [f"p{k}" for k in range(count)]
    try:
        form = content(tuple(bind(names)))
    except TypeError:  # a class from outside wgf
        return _traced(bind, names)
    if isinstance(known := _energies(form, lambda: _tried(bind, names)), Untraceable):
        raise known
    return known


def _tried(bind: Bind, names: list[str]) -> Energy | Untraceable:
    try:
        return _traced(bind, names)
    except Untraceable as error:  # kept, too
        return Untraceable(*error.args)


def _traced(bind: Bind, names: list[str]) -> Energy:
    tape, pairs = _tape(*INPUTS), _tape("r", "none")
    sum_of, kernel, strength, count = Traced(tape, {(0, 0): tape.constant(0.0)}), None, NO_TERM, 0
    quadratic: float | Traced = 0.0
    logarithmic = False
    for local, far in zip(bind(_parameters(tape, names)), bind(_parameters(pairs, names)), strict=True):
        parts, between, count = local.parts(), far.parts(), count + 1
        if parts is None or between is None:
            raise Untraceable(f"an energy {type(local).__name__}")
        if (density := parts.density) is not None:
            sum_of = sum_of + record(lambda: density(*(variable(tape, name) for name in INPUTS)), tape)
        if (force := between.force) is not None:
            slope = record(lambda: force(variable(pairs, "r")), pairs).jet
            logarithmic = is_logarithmic(between)
            kernel = {(1, 0): slope[0, 0]} | ({(2, 0): slope[1, 0]} if (1, 0) in slope else {})
        if isinstance(between.quadratic, Traced) or between.quadratic:
            quadratic = between.quadratic
    if isinstance(quadratic, Traced):
        registers = [pairs.parameters[name] for name in names]
        if quadratic.jet[0, 0] not in registers:
            raise Untraceable("a function of numbers as the strength of a quadratic interaction")
        strength, quadratic = registers.index(quadratic.jet[0, 0]), 1.0
    pair = _program(pairs, kernel or {}, ("r",), names) if kernel or quadratic else None
    local = _program(tape, sum_of.jet, ("x", "dx"), names)
    return Energy(local, pair, kernel is not None, logarithmic, strength, float(quadratic), count)


def _tape(*inputs: str) -> Tape:
    tape = Tape((*inputs, *DIRECTIONS))
    for name in DIRECTIONS:
        tape.level[tape.inputs[name]] = 2  # they differ from map to map
    return tape


def _parameters(tape: Tape, names: list[str]) -> list[Traced]:
    return [Traced(tape, {(0, 0): tape.parameter(name)}) for name in names]


def _program(tape: Tape, d: Jet, variables: Sequence[str], names: list[str]) -> Program:
    """The two parts for an energy with these derivatives on a tape."""
    a, b, c = (tape.inputs[name] for name in DIRECTIONS)
    first = tape.add(tape.mul(d.get((1, 0)), a), tape.mul(d.get((0, 1)), b))
    second = tape.add(tape.mul(d.get((2, 0)), a), tape.mul(d.get((1, 1)), b), tape.mul(d.get((0, 2)), c))
    wanted = [*(tape.inputs[name] for name in variables), *(tape.parameter(name) for name in names)]
    return program(tape, [], [], reverse(tape, first, wanted), reverse(tape, second, wanted), names)
