"""Typed errors. Every message is one line: what was given, what is allowed and how to mend it."""


def in_one_line(error: BaseException) -> str:
    """Name and message of an exception in one line, for the log."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class WgfError(Exception):
    """Base class of all errors that wgf raises on purpose."""


class ConfigError(WgfError, ValueError):
    """Invalid input from a person, one line per fault: the key, the value, what is allowed and the override to use.

    Args:
        lines: one line per fault.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def __reduce__(self):
        return type(self), self.lines


def install(extra: str) -> str:
    """Command that installs an extra; the registry's package of the name wgf is another program."""
    return f"pip install -e '.[{extra}]' (in the checkout)"
