"""The frame of the commands wgf-collate, wgf-study and wgf-report: usage, errors and exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from wgf.errors import ConfigError
from wgf.files import not_saved


def command(name: str, usage: str, work: Callable[..., int | None], alone: bool = False) -> NoReturn:
    """Run a command with the words of the command line and end the process.

    Exit status: what `work` returns (None is 0); 1 if the disk is full, 2 for bad input, 130 after Ctrl-C.

    Args:
        name: of the command; it begins every message.
        usage: printed for --help, and for words that do not fit.
        work: what the command does with its words.
        alone: whether the only word is a folder.
    """
    words = sys.argv[1:]
    asked = bool({"-h", "--help"} & set(words))
    if asked or not words or (alone and (len(words) > 1 or words[0].startswith("-"))):
        print(usage, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    lines: Sequence[str]
    try:
        sys.exit(work(*words))
    except ConfigError as error:
        lines, status = error.lines, 2
    except OSError as error:
        full = not_saved(error)
        lines, status = [full or f"{error.filename}: {error.strerror}"], 1 if full else 2
    except KeyboardInterrupt:
        lines, status = ["interrupted"], 130
    for line in lines:
        print(f"{name}: {line}", file=sys.stderr)
    sys.exit(status)
