"""Programs of the way back: an energy's derivatives along directions, and their derivatives in the map and in numbers.

For the energy e(f, f') of a node and directions with values a and slopes b, the first part of a program holds the
derivatives of e_f a + e_f' b in f, in f' and in each number; the second part those of e_ff a + e_ff' b + e_f'f' c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wgf.engine.arrays import Energy
from wgf.engine.backward.reverse import reverse
from wgf.engine.energies import INPUTS, NO_TERM
from wgf.engine.program import Program, program
from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import Traced, record, variable
from wgf.kept import Kept, content
from wgf.problem.energy import Term

DIRECTIONS = ("a", "b", "c")
MOST = 64  # energies that are kept
_energies = Kept[Energy](MOST)


def backward_energy(bind: Callable[[Sequence[object]], Sequence[Term]], count: int) -> Energy:
    """Programs of the way back, the same for earlier terms of the same form.

    Args:
        bind: the terms of the energy with others in the place of some numbers.
        count: of these numbers, which are the parameters of the programs.

    Raises:
        Untraceable: no tape can hold a term.
    """
    names = [f"p{k}" for k in range(count)]
    try:
        form = content(tuple(bind(names)))
    except TypeError:  # a class from outside wgf
        return _traced(bind, names)
    return _energies(form, lambda: _traced(bind, names))


def _traced(bind: Callable[[Sequence[object]], Sequence[Term]], names: list[str]) -> Energy:
    tape = Tape((*INPUTS, *DIRECTIONS))
    for name in DIRECTIONS:
        tape.level[tape.inputs[name]] = 2  # they differ from map to map
    sum_of = Traced(tape, {(0, 0): tape.constant(0.0)})
    terms = bind([Traced(tape, {(0, 0): tape.parameter(name)}) for name in names])
    for term in terms:
        parts = term.parts()
        if parts is None or parts.kernel is not None or parts.quadratic:
            raise Untraceable(f"an energy {type(term).__name__}")
        if (density := parts.density) is not None:
            sum_of = sum_of + record(lambda: density(*(variable(tape, name) for name in INPUTS)), tape)
    local = _program(tape, sum_of, ("x", "dx"), names)
    return Energy(local, None, False, False, NO_TERM, 0.0, len(terms))


def _program(tape: Tape, energy: Traced, variables: Sequence[str], names: list[str]) -> Program:
    """The two parts for an energy on a tape."""
    a, b, c = (tape.inputs[name] for name in DIRECTIONS)
    d = energy.jet
    first = tape.add(tape.mul(d.get((1, 0)), a), tape.mul(d.get((0, 1)), b))
    second = tape.add(tape.mul(d.get((2, 0)), a), tape.mul(d.get((1, 1)), b), tape.mul(d.get((0, 2)), c))
    wanted = [*(tape.inputs[name] for name in variables), *(tape.parameter(name) for name in names)]
    return program(tape, [], [], reverse(tape, first, wanted), reverse(tape, second, wanted), names)
