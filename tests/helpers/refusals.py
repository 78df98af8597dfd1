"""The lines with which the program refuses what it is given."""

from collections.abc import Callable
from typing import Any

import pytest

from wgf.errors import ConfigError


def refusal(call: Callable[..., Any], *given: Any, **named: Any) -> list[str]:
    """The lines of the ConfigError that a call must raise."""
    with pytest.raises(ConfigError) as caught:
        call(*given, **named)
    assert str(caught.value).splitlines() == list(caught.value.lines)
    return list(caught.value.lines)
