"""Equations and numbers as TeX, for the words of figures."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable

WIDE = 74  # letters on a line
KNOWN = re.compile(r"rho_t = [\w +\-*/^().,|<>=']*")  # what `Problem.equation` is made of
FUNCTIONS = ("arccos", "arcsin", "arctan", "cosh", "cos", "exp", "log", "sinh", "sin", "tanh", "tan", "max", "min")
TOKENS = re.compile(
    r"rho(?P<index>_(?:t|xx))?|(?P<group>\)_x+)|\^(?P<power>\([^()]*\)|-?[\w.]+)|(?P<conv> \* (?=rho))|(?P<times>\*)"
    r"|(?P<mantissa>[\d.]+)e(?P<exponent>[-+]?\d+)|(?P<word>[A-Za-z][A-Za-z_]+|a(?= circle))"
    r"|(?P<sign> [-+=<>] )|(?P<space> )"
)


def typeset(text: str, width: int = WIDE) -> str:
    """The text of `Problem.equation` in TeX, wrapped into lines; any other text stays plain."""
    lines = textwrap.wrap(text, width)
    if not KNOWN.fullmatch(text):
        return "\n".join(lines).replace("$", r"\$")
    return "\n".join(f"${TOKENS.sub(_token, line)}$" for line in lines)


def _token(found: re.Match[str]) -> str:
    kind, text = found.lastgroup, found.group()
    if kind in (None, "index"):
        return rf"\rho_{{{found['index'][1:]}}}" if found["index"] else r"\rho "
    if kind == "group":
        return f")_{{{text[2:]}}}"
    if kind == "power":
        return f"^{{{found['power'].strip('()')}}}"
    if kind == "exponent":
        return rf"{found['mantissa']} \cdot 10^{{{int(found['exponent'])}}}"
    if kind == "word":
        return rf"\{text} " if text in FUNCTIONS else rf"\mathrm{{{text}}}".replace("_", r"\_")
    return {"conv": r" \ast ", "times": r"\,", "space": r"\ "}.get(kind or "", text)


def plain(value: float, digits: int = 4) -> str:
    """0.2 as it is, and 2e-7 as TeX's power of ten."""
    return f"{value:.{digits}g}" if value == 0 or 1e-3 <= abs(value) < 10**digits else scientific(value)


def tex(text: str) -> str:
    """A text of `plain` as matplotlib reads it; only powers of ten are typeset, which takes 5 ms each."""
    return f"${text}$" if "\\" in text else text.replace("-", "\N{MINUS SIGN}")


def in_one_power(values: Iterable[float], name: str) -> tuple[Callable[[float], str], str]:
    """How values on an axis are written, each in another way, and the name of the axis, in which stands a power of ten
    for all of them."""
    known = {*values}
    power = math.floor(math.log10(top)) if (top := max(known)) > 0 else 0
    power = 0 if -2 <= power <= 3 else power
    digits = next((d for d in range(4, 12) if len({f"{value:.{d}g}" for value in known}) == len(known)), 12)
    label = name + (rf" ($10^{{{power}}}$)" if power else "")
    return lambda value: tex(plain(float(f"{value / 10.0**power:.{digits}g}"), digits)), label


def scientific(value: float) -> str:
    """1.23e-4 as TeX."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
