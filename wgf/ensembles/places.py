"""Where the parameters of an ensemble stand in the terms of its energy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from wgf.engine.tapes.tape import Tape, Untraceable
from wgf.engine.tapes.traced import Traced
from wgf.ensembles.parameters import BOUND, ROUNDING, Columns, ProblemOf, bare, same, with_numbers
from wgf.errors import ConfigError
from wgf.problem.changes.jumps import jump
from wgf.problem.energy import Term
from wgf.problem.equations import Problem
from wgf.problem.interaction import Pairwise
from wgf.problem.kernels import NEAR
from wgf.problem.potential import Potential

NUDGES = 1.001, 0.999  # factors that show what depends on a number
CLOSE = 1e-7  # difference of a number that does not count, relative to it and to the typical one
SIDE = torch.tensor([NEAR], dtype=torch.float64)  # where the slope of a kernel shows its kink (length)
MANY = 16  # flows to check


class Places:
    """The attributes and the constants of terms that are parameters, found by a comparison of terms of other numbers.

    Args:
        problem: has all terms of the energy.
        typical: its numbers by name.
        problem_of: makes the problem of other numbers.
        columns: the parameters [n] by name.
        free: parameters that need not differ between the flows.

    Attributes:
        names: parameters that are free or differ between the flows, and are numbers of the energy.

    Raises:
        Untraceable: a number is part of the energy in a way that no tape can hold.
    """

    def __init__(
        self,
        problem: Problem,
        typical: Mapping[str, float],
        problem_of: ProblemOf,
        columns: Columns,
        free: Container[str] = (),
    ) -> None:
        self.problem = problem
        self.names: list[str] = []
        self._numbers: dict[tuple[int, str], tuple[str, float]] = {}
        self._constants: set[tuple[int, str]] = set()
        for name, column in columns.items():
            if column.min() == column.max() and name not in free:
                continue
            before = len(self._numbers), len(self._constants)
            self._find(name, typical[name], column, *_nudged(problem_of, typical, name))
            if before != (len(self._numbers), len(self._constants)):
                self.names.append(name)
        for row in _some(columns):
            self._check(row, typical, problem_of(row))

    def _find(self, name: str, value: float, column: np.ndarray, nudged: float, problem: Problem) -> None:
        """Find what a number changes, by its value, those of all flows [n], and the problem of another one."""
        for k, (one, two) in enumerate(zip(_terms(self.problem), _terms(problem), strict=True)):
            if one is two:
                continue
            if type(one) is not type(two):
                raise Untraceable(_apart(name, value, next((x for x in column if x != value), None)))
            for attribute, y in vars(two).items():
                x = vars(one).get(attribute)
                if attribute == BOUND or same(x, y):
                    continue
                if attribute == "expression":
                    self._constants.add((k, name))
                    continue
                is_number = isinstance(x, float) and isinstance(y, float) and (k, attribute) not in self._numbers
                if not is_number or not math.isclose(y * value, x * nudged, rel_tol=ROUNDING):
                    raise Untraceable(f"{name}, on which {attribute} of {type(one).__name__} depends")
                self._numbers[k, attribute] = name, x / value

    def _check(self, row: Mapping[str, float], typical: Mapping[str, float], problem: Problem) -> None:
        """Check that a problem is what its terms become when its numbers are bound."""
        names = [name for name in row if row[name] != typical[name]] or list(row)
        for k, (one, two) in enumerate(zip(_terms(self.problem), _terms(problem), strict=True)):
            is_off = (two is None or two.vanishes) and any(row[name] == 0 for name in self.names)
            if one is two or is_off:
                continue
            if type(one) is not type(two):
                name = next((name for name in names if row[name]), names[0])
                raise Untraceable(_apart(name, row[name], typical[name]))
            for attribute, y in vars(two).items():
                x = vars(one).get(attribute)
                if attribute == BOUND:
                    continue
                if attribute == "expression" and x is not None:
                    given = {name: row[name] for owner, name in self._constants if owner == k}
                    good = x.text == y.text and same(x.given | given, y.given)
                elif (k, attribute) in self._numbers:
                    name, factor = self._numbers[k, attribute]
                    if attribute == "kink" and isinstance(two, Pairwise):  # as steep as W, whose small kinks stay in it
                        y = y + float(two.force(SIDE))
                    least = CLOSE * abs(factor * typical[name])
                    good = math.isclose(y, factor * row[name], rel_tol=CLOSE, abs_tol=least)
                else:
                    good = same(x, y)
                if not good:
                    raise Untraceable(f"{', '.join(names)}, on which {attribute} of {type(one).__name__} depends")

    def bind(self, term: Term, tape: Tape) -> Term:
        """Copy of a term of the problem with parameters of a tape as its numbers."""
        return self._with(term, lambda name: Traced(tape, {(0, 0): tape.parameter(name)}))

    def with_numbers(self, numbers: Sequence[object]) -> list[Term]:
        """Copies of the terms of the problem with others in the place of its numbers, in the order of the names."""
        number = dict(zip(self.names, numbers, strict=True)).__getitem__
        return [self._with(term, number) for term in self.problem.terms]

    def _with(self, term: Term, number: Callable[[str], Any]) -> Term:
        k = next(k for k, each in enumerate(_terms(self.problem)) if each is term)
        bound: Any = bare(term)
        for (owner, attribute), (name, factor) in self._numbers.items():
            if owner == k:
                vars(bound)[attribute] = number(name) if factor == 1.0 else factor * number(name)
        if constants := {name: number(name) for owner, name in self._constants if owner == k}:
            bound.expression = copy.copy(bound.expression)
            bound.expression.constants = bound.expression.constants | constants
        return bound


def _apart(name: str, one: float, other: float | None) -> str:
    """What is impossible about two numbers of one name that users gave; None for no other number."""
    if other is None:
        return f"derivatives in {name} at {name}={one:.10g}: the energies beside it differ from the one there"
    return f"{name}={one:.10g} beside {name}={other:.10g}: their energies differ"


def _terms(problem: Problem) -> list[Term | None]:
    return [problem.potential, problem.internal, problem.interaction]


def _some(columns: Columns) -> list[dict[str, float]]:
    """Numbers of some flows: those with the smallest and the largest number of each name, and some between."""
    n = max(map(len, columns.values()), default=0)
    at = {int(k) for column in columns.values() for k in (column.argmin(), column.argmax())}
    rows = (
        [float(column[k]) for column in columns.values()] for k in sorted(at | set(range(0, n, -(-n // MANY) or 1)))
    )
    return [dict(zip(columns, row, strict=True)) for row in dict.fromkeys(map(tuple, rows))]


def _nudged(problem_of: ProblemOf, typical: Mapping[str, float], name: str) -> tuple[float, Problem]:
    """A number a little larger or smaller than the typical one that a constructor accepts, and its problem."""
    values = [typical[name] * factor for factor in NUDGES]
    try:
        return values[0], problem_of({**typical, name: values[0]})
    except ConfigError:
        return values[1], problem_of({**typical, name: values[1]})


def check_kinks(potential: Potential, columns: Columns) -> None:
    """Check that V of no flow has a kink or a jump.

    Raises:
        Untraceable: one has.
    """
    expression = vars(potential).get("expression")
    own = [name for name in columns if expression is not None and name in expression.given and expression.switches()]
    rows = np.unique(np.stack([columns[name] for name in own], axis=1), axis=0) if own else [()]
    for row in rows:
        one = with_numbers(potential, dict(zip(own, map(float, row), strict=True)))
        if one.kinks is not None:
            raise Untraceable(f"the kinks of V = {one}")
        if expression is not None and jump(vars(one)["expression"]) is not None:
            raise Untraceable(f"the jump of V = {one}")
