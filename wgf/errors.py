"""Typed errors. Every message is one line that says what was given, what is allowed and how to mend it."""


def in_one_line(error: BaseException) -> str:
    """What an exception says, with its name, for the log."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class WgfError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(WgfError, ValueError):
    """Bad input from a person: one or more lines, each naming the key, the value, what is allowed and the override.

    Args:
        lines: one line per fault.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    def __reduce__(self):
        return type(self), self.lines
