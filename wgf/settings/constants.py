"""Named constants of formulas on the command line."""

from __future__ import annotations

import re

FORMULAS = ("potential", "interaction", "law")
SETTINGS = ("expr", "low", "high", "force")


def declared(words: list[str]) -> list[str]:
    """The words of a command line with `+` before constants of formulas, which the configs do not know.

    With potential=expression, the word potential.a=1.3 becomes +potential.a=1.3.
    """
    groups = [group for group in FORMULAS if f"{group}=expression" in words]
    named = re.compile(rf"({'|'.join(groups)})\.([A-Za-z]\w*)=.*", re.DOTALL)
    return [
        f"+{word}" if groups and (found := named.fullmatch(word)) and found[2] not in SETTINGS else word
        for word in words
    ]
