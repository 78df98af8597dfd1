"""The energies of a problem as programs of the kernel."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wgf.engine.arrays import Energy
from wgf.engine.program import program
from wgf.engine.tapes.table import lookup, tabulate
from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import Traced, record, variable
from wgf.kept import Kept, content
from wgf.problem.energy import Parts, Term
from wgf.problem.interaction import Log
from wgf.problem.potential import Potential
from wgf.settings.formulas.expression import CONSTANTS

INPUTS = ("x", "dx", "log_p", "rank", "w")
NO_TERM = -1
NO_NUMBERS = np.zeros((1, 0))
MOST = 64  # energies that are kept
_energies = Kept[Energy](MOST)


class Table(NamedTuple):
    """Ends of the range on which potentials are tabulated (length)."""

    low: float
    high: float


def energy_of(
    terms: Sequence[Term],
    table: Callable[[], Table],
    names: Sequence[str] = (),
    bind: Callable[[Term, Tape], Term] = lambda term, tape: term,
) -> Energy:
    """The energy of some terms.

    Args:
        terms: terms of the energy.
        table: says where a potential is tabulated; asked only if no tape can hold it.
        names: parameters of the energy.
        bind: copy of a term whose numbers are parameters of a tape.

    Raises:
        Untraceable: a term has neither a form that a tape can hold nor a table.
    """
    tape, pairs = Tape(INPUTS), Tape(("r", "none"))
    values: list[int] = []
    owners: list[int] = []
    sum_of, pair, place = Traced(tape, {(0, 0): tape.constant(0.0)}), None, NO_TERM
    quadratic: float | Traced = 0.0
    logarithmic = False
    for k, term in enumerate(terms):
        parts = bind(term, tape).parts()
        if parts is None:
            raise Untraceable(f"the energy {term}")
        if parts.density is not None:
            density = _density(tape, bind(term, tape), table)
            sum_of = sum_of + density
            values.append(density.jet[0, 0])
            owners.append(k)
        parts = bind(term, pairs).parts()
        assert parts is not None
        if parts.kernel is not None or isinstance(parts.quadratic, Traced) or parts.quadratic:
            if place != NO_TERM:
                raise Untraceable("a second interaction")
            place, quadratic = k, parts.quadratic
        if parts.kernel is not None and parts.force is not None:
            kernel, force, r = parts.kernel, parts.force, variable(pairs, "r")
            logarithmic = is_logarithmic(parts)
            values_of = record(lambda: kernel(r), pairs), record(lambda: force(r), pairs)  # noqa: B023
            jet = values_of[1].jet
            bends = [jet.get((1, 0)), None, None]
            pair = program(pairs, [values_of[0].jet[0, 0]], [k], [jet[0, 0], None], bends, names)
    slopes, curvature = _entries(sum_of, (1, 0), (0, 1)), _entries(sum_of, (2, 0), (1, 1), (0, 2))
    local = program(tape, values, owners, slopes, curvature, names)
    if isinstance(quadratic, Traced):
        raise Untraceable("the strength of a quadratic interaction as a parameter")
    interacts = pair is not None
    if quadratic and not interacts:
        pair = program(pairs, [], [], [None, None], [None] * 3, names)
    return Energy(local, pair, interacts, logarithmic, place, float(quadratic), len(terms))


def is_logarithmic(parts: Parts) -> bool:
    """Whether the kernel of a term is a multiple of log|r|."""
    return [getattr(part, "__func__", None) for part in (parts.kernel, parts.force)] == [Log.kernel, Log.force]


def _entries(traced: Traced, *orders: tuple[int, int]) -> list[int | None]:
    return [traced.jet.get(order) for order in orders]


def _density(tape: Tape, term: Term, table: Callable[[], Table]) -> Traced:
    """Jet of the density of a term: traced, or read from a table for a potential."""
    parts = term.parts()
    assert parts is not None
    assert parts.density is not None
    density = parts.density
    try:
        return record(lambda: density(*(variable(tape, name) for name in INPUTS)), tape)
    except Untraceable:
        if not isinstance(term, Potential):
            raise
        return lookup(tape, tabulate(term, *table()))


def shared_energy(terms: Sequence[Term], table: Callable[[], Table]) -> tuple[Energy, np.ndarray]:
    """The energy of earlier terms of the same form, else a new one; and the parameters of these terms [1, p].

    Parameters are the numbers that may have derivatives, see `derivable`, unless they are whole: whole powers are
    products. All other settings belong to the form.

    Raises:
        Untraceable: see `energy_of`.
    """
    numbers = [_numbers(term) for term in terms]
    try:
        form = tuple(map(content, terms, numbers))
        energy = _energies(form, lambda: _parametric(terms, numbers, table))
    except (TypeError, Untraceable):  # a class from outside wgf, or a definition that branches at a number
        return energy_of(terms, table), NO_NUMBERS
    return energy, np.array([[value for each in numbers for value in each.values()]]) if any(numbers) else NO_NUMBERS


def _parametric(terms: Sequence[Term], numbers: Sequence[dict[str, float]], table: Callable[[], Table]) -> Energy:
    """Energy whose parameters are these numbers of each term.

    Raises:
        Untraceable: see `energy_of`, or a table would hold numbers.
    """

    def bind(term: Term, tape: Tape) -> Term:
        k = next(k for k, each in enumerate(terms) if each is term)
        return _with(term, {name: Traced(tape, {(0, 0): tape.parameter(f"{k} {name}")}) for name in numbers[k]})

    names = [f"{k} {name}" for k, each in enumerate(numbers) for name in each]
    energy = energy_of(terms, table, names, bind)
    if len(energy.local.tables):
        raise Untraceable("numbers in a table")
    return energy


def _numbers(term: Term) -> dict[str, float]:
    """The parameters of a term by name."""
    settings, derivable = vars(term), getattr(term, "derivable", ())
    if "constants" in derivable:
        settings = {k: v for k, v in settings["expression"].constants.items() if k not in CONSTANTS}
        derivable = tuple(settings)
    given = [(name, settings.get(name)) for name in derivable]
    return {name: v for name, v in given if isinstance(v, float) and not v.is_integer()}


def _with(term: Term, numbers: dict[str, Any]) -> Term:
    """Copy of a term with other numbers as its parameters."""
    bound = copy.copy(term)
    expression = vars(bound).get("expression")
    if expression is None:
        vars(bound).update(numbers)
    else:
        bound.expression = copy.copy(expression)  # type: ignore[attr-defined]
        bound.expression.constants = expression.constants | numbers  # type: ignore[attr-defined]
    return bound
