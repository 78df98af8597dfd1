"""Rules for settings, written once in the annotations of a constructor. `checked` applies them when a user of the
library calls the constructor; `wgf.settings.check` applies them to a config, before torch is loaded.

    class Gaussian(Base):
        @checked
        def __init__(self, mean: Finite = 0.0, std: Positive = 1.0): ...
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from wgf.errors import ConfigError
from wgf.settings.tensors import FOREIGN, copied, has_derivatives, is_foreign, numbers_in

F = TypeVar("F", bound=Callable)
REFUSED = object()  # stands for a value that breaks its rule
LONGEST = 200  # a message repeats at most so many characters of a value


class Rule(ABC):
    """Rule for the values of a setting; as text it says which are allowed."""

    @abstractmethod
    def admits(self, value: Any) -> bool:
        """Whether a value is allowed."""

    def plain(self, value: Any) -> Any:
        """An allowed value as plain numbers."""
        return value

    def taken(self, value: Any) -> Any:
        """The value as plain numbers, or REFUSED."""
        return self.plain(value) if self.admits(value) else REFUSED


class Range(Rule):
    """Rule for numbers of one kind between two bounds.

    Args:
        kind: float or int.
        low, high: bounds, may be infinite; values must be finite.
        open_low, open_high: whether the bounds themselves are excluded.
        none: whether `null` is allowed and means "not set".
    """

    def __init__(
        self,
        kind: type = float,
        low: float = -math.inf,
        high: float = math.inf,
        *,
        open_low: bool = False,
        open_high: bool = False,
        none: bool = False,
    ) -> None:
        self.kind, self.low, self.high, self.open_low, self.open_high = kind, low, high, open_low, open_high
        self.none = none
        # smallest and largest finite number that obeys
        self._least = max(math.nextafter(low, math.inf) if open_low else low, -sys.float_info.max)
        self._most = min(math.nextafter(high, -math.inf) if open_high else high, sys.float_info.max)

    def __str__(self) -> str:
        noun = "a whole number" if self.kind is int else "a finite number"
        form = "d" if self.kind is int else "g"
        low = "" if self.low == -math.inf else f" {'>' if self.open_low else '>='} {self.low:{form}}"
        high = "" if self.high == math.inf else f" {'<' if self.open_high else '<='} {self.high:{form}}"
        return f"{noun}{low}{' and' if low and high else ''}{high}{', or null' if self.none else ''}"

    def admits(self, value: Any) -> bool:
        if type(value) is self.kind:
            return self._least <= value <= self._most
        if value is None:
            return self.none
        if type(value) not in (float, int) and (isinstance(value, bool) or not isinstance(value, Real)):
            return False  # numpy scalars are Real, which takes long to find out
        try:
            number = float(value)
        except OverflowError:
            return False
        if not math.isfinite(number) or (self.kind is int and number != int(number)):
            return False
        if self.kind is int:
            number = int(value)  # type: ignore[bad-argument-type]
        return self._least <= number <= self._most

    def plain(self, value: Any) -> Any:
        return value if type(value) is self.kind or value is None or isinstance(value, str) else self.kind(value)

    def taken(self, value: Any) -> Any:
        if type(value) is self.kind and self._least <= value <= self._most:
            return value
        return super().taken(value)


class Choice(Rule):
    """Rule for one of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __str__(self) -> str:
        return "one of " + ", ".join(self.words)

    def admits(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.words


class Flag(Rule):
    """Rule for true or false."""

    def __str__(self) -> str:
        return "true or false"

    def admits(self, value: Any) -> bool:
        return isinstance(value, bool)


class Written(Rule):
    """Rule for a string; with `none`, `null` is allowed and means "not given"."""

    def __init__(self, none: bool = False) -> None:
        self.none = none

    def __str__(self) -> str:
        return f"a text{', or null' if self.none else ''}"

    def admits(self, value: Any) -> bool:
        return isinstance(value, str) or (self.none and value is None)


class ColumnName(Rule):
    """Rule for a column of a file."""

    def __str__(self) -> str:
        return "a name in the first line of the file, the number of a column from 1, or null"

    def admits(self, value: Any) -> bool:
        if value is None or isinstance(value, bool):
            return value is None
        return isinstance(value, str) or (isinstance(value, int) and value >= 1)


class WidthRule(Range):
    """Rule for a width: a whole number >= 2, auto, or null, which means "not set"."""

    def __init__(self) -> None:
        super().__init__(int, low=2, none=True)

    def __str__(self) -> str:
        return "a whole number >= 2, auto, or null"

    def admits(self, value: Any) -> bool:
        return value == "auto" if isinstance(value, str) else super().admits(value)


class ListOf(Rule):
    """Rule for a non-empty list whose entries all obey one rule.

    Args:
        rule: of the entries.
        none: whether `null` is allowed and means "not given".
    """

    def __init__(self, rule: Range, none: bool = False) -> None:
        self.rule, self.none = rule, none

    def __str__(self) -> str:
        return f"a list, each entry {self.rule}{', or null' if self.none else ''}"

    def admits(self, value: Any) -> bool:
        if value is None:
            return self.none
        listy = (isinstance(value, Sequence) and not isinstance(value, str)) or getattr(value, "ndim", 0) == 1
        return listy and len(value) > 0 and all(self.rule.admits(v) for v in value)

    def plain(self, value: Any) -> Any:
        return None if value is None else [self.rule.kind(entry) for entry in value]


Finite = Annotated[float, Range()]
FiniteOrNone = Annotated[float | None, Range(none=True)]
Positive = Annotated[float, Range(low=0.0, open_low=True)]
NonNegative = Annotated[float, Range(low=0.0)]
PositiveOrNone = Annotated[float | None, Range(low=0.0, open_low=True, none=True)]
NonNegativeOrNone = Annotated[float | None, Range(low=0.0, none=True)]
Fraction = Annotated[float, Range(low=0.0, high=1.0, open_high=True)]
Share = Annotated[float, Range(low=0.0, high=1.0)]
MoreThanOne = Annotated[float, Range(low=1.0, open_low=True)]
AtLeastOne = Annotated[float, Range(low=1.0)]
Count = Annotated[int, Range(int, low=1)]
CountOrNone = Annotated[int | None, Range(int, low=1, none=True)]
Width = Annotated[int | str | None, WidthRule()]
TwoOrMore = Annotated[int, Range(int, low=2)]
Order = Annotated[int, Range(int, low=1, high=64)]
Seed = Annotated[int, Range(int, low=0, high=2**63 - 1)]
Floats = Annotated[Sequence[float], ListOf(Range())]
FloatsOrNone = Annotated[Sequence[float] | None, ListOf(Range(), none=True)]
Column = Annotated[int | str | None, ColumnName()]
Text = Annotated[str, Written()]
TextOrNone = Annotated[str | None, Written(none=True)]
Switch = Annotated[bool, Flag()]
Positives = Annotated[Sequence[float], ListOf(Range(low=0.0, open_low=True))]


def rule_of(annotation: Any) -> Rule | None:
    """Rule in an annotation, or None."""
    return next((r for r in get_args(annotation)[1:] if isinstance(r, Rule)), None)


def fault(name: str, value: Any, rule: Any) -> str:
    """Message about one bad value, one line."""
    text = " ".join(repr(value).split())
    return f"{name}={text if len(text) <= LONGEST else text[:LONGEST] + '...'} is not allowed: expected {rule}"


def checked(function: F) -> F:
    """Decorator: check the arguments of a constructor against the rules in its annotations, and convert numbers.

    A tensor counts as the numbers in it. A class names in `derivable` the arguments that may require grad.

    Raises:
        ConfigError: with one line for every argument that breaks its rule.
    """
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    others = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), "")
    rules: dict[str, Any] = {}  # read when the function is first called: its module is loaded then
    places: list[tuple[int, str, Rule]] = []  # of the positional arguments with rules

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if not rules:
            hints = get_type_hints(function, include_extras=True)
            rules.update({p.name: rule_of(hints.get(p.name)) for p in parameters})
            named = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
            places.extend((k, name, rules[name]) for k, name in enumerate(named) if rules[name] is not None)
        values, unlike = list(args), []
        for k, name, rule in places:
            if k >= len(values):
                break
            if (taken := rule.taken(values[k])) is REFUSED:
                unlike.append((values, k, name, rule, name))
            else:
                values[k] = taken
        for name, value in kwargs.items():
            owner = name if name in rules else others
            if (rule := rules.get(owner)) is not None:
                if (taken := rule.taken(value)) is REFUSED:
                    unlike.append((kwargs, name, name, rule, owner))
                else:
                    kwargs[name] = taken
        return function(*values, **kwargs) if not unlike else derived(args, values, kwargs, unlike)

    def derived(args, values, kwargs, unlike):
        """The result where some values break their rules, unless they are tensors whose numbers do not."""
        derivable, bad = getattr(args[0], "derivable", ()) if args else (), []
        for given, key, name, rule, owner in unlike:
            value = given[key]
            if any(map(is_foreign, value if isinstance(value, (list, tuple)) else [value])):
                bad.append(f"{name}: {FOREIGN}")
            elif (taken := rule.taken(numbers_in(value))) is REFUSED:
                bad.append(fault(name, value, rule))
            elif not has_derivatives(value):
                given[key] = taken
            elif owner in derivable:
                given[key] = copied(value)
            else:
                bad.append(f"{fault(name, value, rule)}; it has no derivative, detach it")
        if bad:
            signature.bind(*args, **kwargs)  # an argument too many or too few is the worse error
            raise ConfigError(*bad)
        with warnings.catch_warnings():  # bounds and moments of such an object are numbers
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad", UserWarning)
            return function(*values, **kwargs)

    return wrapper  # type: ignore[return-value]
