"""Messages about bad input: one line for every fault, then exit status 2."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from wgf.errors import ConfigError, WgfError
from wgf.files import not_saved
from wgf.settings.check import CONFIGS, GROUPS, check, did_you_mean
from wgf.settings.foreign_configs import initialized
from wgf.settings.ranges import LONGEST
from wgf.settings.resume import continued

CHOICES = (*GROUPS, "experiment", "debug")
QUOTING = """quote values with spaces or symbols twice, such as 'potential.expr="x**4/4 - x**2/2"'"""


def parsed(words: list[str]) -> argparse.Namespace:
    """The flags and overrides of a command line.

    Raises:
        ConfigError: a flag does not exist or lacks its value, or would run code from a file.
    """
    parser = get_args_parser()

    def fail(message: str) -> NoReturn:
        apart = "=" in message and message.startswith("unrecognized")
        hint = "give all flags before the overrides" if apart else "see wgf --help and wgf --hydra-help"
        raise ConfigError(f"{message}; {hint}")

    parser.error = fail  # type: ignore[method-assign]
    args = parser.parse_args(words)
    if args.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun is not allowed: a pickle can run any code; use --config-dir instead")
    if args.config_dir is not None and not Path(args.config_dir).is_dir():
        raise ConfigError(
            f"--config-dir={args.config_dir} is not a folder: give a folder with YAML files for the groups"
        )
    return args


@contextmanager
def refusing(computes: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Print errors of the input as lines on the terminal and end with status 2; with status 1 if the disk is full.

    Args:
        computes: whether a run has begun; from then on only errors that are certainly of the input are caught.
    """
    try:
        yield
    except ConfigError as error:
        refuse(*error.lines)
    except WgfError:
        raise
    except Exception as error:
        if (line := not_saved(error)) is not None:
            print(f"wgf: {_one_line(line)}", file=sys.stderr)
            sys.exit(1)
        if isinstance(error, OSError) and error.filename is not None:
            refuse(f"{error.filename}: {error.strerror}; choose a folder that can be written with hydra.run.dir=...")
        if computes() and not isinstance(error, (HydraException, OmegaConfBaseException)):
            raise
        refuse(*_explain(error))


def check_choices(choices: Mapping[Any, Any]) -> None:
    """Check that every group has one choice, given by its name, from which the folder of the run is named.

    Raises:
        ConfigError: a list of choices, or a path that leaves the group's folder.
    """
    bad = {g: c for g, c in choices.items() if g in CHOICES and c is not None and ".." in str(c).split("/")}
    bad |= {group: choices.get(group) for group in GROUPS if not isinstance(choices.get(group), str)}
    if bad:
        raise ConfigError(
            *(f"{group}={choice} is not a choice: give one name, see wgf --help" for group, choice in bad.items())
        )


def check_folder(name: str, key: str = "hydra.run.dir") -> None:
    """Check that a folder of this name can be written, without writing anything.

    Raises:
        ConfigError: it cannot.
    """
    folder = Path(name)
    if not name:
        raise ConfigError(f"{key} is empty: choose a folder for the files")
    try:
        home = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        writable = home.is_dir() and os.access(home, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:  # the name is too long or has an impossible character
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise ConfigError(f"{key}={name[:LONGEST]} is not a name of a folder: {reason}; choose another") from None
    if not writable:
        what = "cannot be written" if home.is_dir() else "is a file"
        raise ConfigError(f"{key}={folder} is impossible: {home} {what}; choose another folder")


def refuse(*lines: str) -> NoReturn:
    """Print the lines and end with status 2."""
    for line in lines:
        print(f"wgf: {_one_line(line)}", file=sys.stderr)
    sys.exit(2)


def _one_line(text: str) -> str:
    """The text on one line, without characters that cannot be printed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _explain(error: Exception) -> list[str]:
    """Every fault of the command line. Hydra stops at the first override that it cannot place; here every override
    is forced into the config, so that the check names each fault."""
    args = parsed(sys.argv[1:])
    lines: list[str] = []
    forced: list[str] = []
    resumes = [word for word in args.overrides if word.startswith("resume=")]
    for word in args.overrides:
        try:
            forced += _forced(word, args.multirun and not resumes)
        except ConfigError as fault:
            lines += fault.lines
    if resumes:
        return lines or [*_beside_resume(resumes[0], args.overrides)] or [_message(error)]
    unread = len(lines)
    with initialized(args):
        while True:
            try:
                check(compose(args.config_name or "config", forced))
            except ConfigError as found:
                # a setting may be missing because its word is unreadable
                return [*lines, *(line for line in found.lines if not (unread and " is missing: " in line))]
            except MissingConfigException as missing:
                group, choice = _missing_choice(missing)
                lines.append(_not_found(missing))
                culprits = [word for word in forced if word.lstrip("+") == f"{group}={choice}"]
                if not culprits:
                    return lines
                forced.remove(culprits[0])
                continue
            except Exception:
                pass
            return lines or [_message(error)]


def _beside_resume(word: str, words: list[str]) -> tuple[str, ...]:
    """Faults of `resume` with other words that do not compose with the defaults."""
    try:
        continued(Path(str(OverridesParser.create().parse_override(word).value())).expanduser(), words)
    except ConfigError as found:
        return found.lines
    return ()


def _not_found(missing: MissingConfigException) -> str:
    """The message about a choice without a file."""
    group, choice = _missing_choice(missing)
    name = f"{group}={choice}" if group else f"--config-name={choice}"
    home = CONFIGS / group
    inside = {path.relative_to(home).with_suffix("").as_posix() for path in home.glob("*/*.yaml") if group}
    if "expression" in (missing.options or []) and not choice.isidentifier():
        return f"{name} is not a choice: for a formula use {group}=expression '{group}.expr=\"{choice}\"'"
    return f"{name} is not a choice{did_you_mean(choice, inside.union(missing.options or []))}"


def _missing_choice(missing: MissingConfigException) -> tuple[str, str]:
    """Group and choice of a missing file; experiments have folders."""
    path = missing.missing_cfg_file or ""
    first, _, rest = path.partition("/")
    group, _, choice = (first, "/", rest) if first in CHOICES else path.rpartition("/")
    return group, choice


def _forced(word: str, sweep: bool) -> list[str]:
    """The override that sets its key even where the config has no such key, with the first value of its sweep; none
    for the part of Hydra.

    Raises:
        ConfigError: the word is no override, or gives no choice of its group.
    """
    if word.startswith("=") or ("=" not in word and not word.startswith("~")):
        raise ConfigError(f"{word!r} is not an override: expected key=value, such as t_end=0.1")
    try:
        (override,) = OverridesParser.create().parse_overrides([word])
    except Exception:  # the parser, whose messages are about its grammar
        raise ConfigError(f"{word!r} cannot be read: expected key=value; {QUOTING}") from None
    group, key = override.key_or_group, word.partition("=")[0]
    if override.is_sweep_override():
        if not sweep:
            raise ConfigError(f"{word} lists several values: use wgf -m {word} for a sweep, or quote them twice")
        if override.is_choice_sweep() or override.is_range_sweep():
            word = f"{key}={next(iter(override.sweep_string_iterator()))}"
    elif group in CHOICES and not override.is_delete():
        value = override.value()
        if not isinstance(value, (str, dict)) and not (value is None and group in CHOICES[-2:]):
            options = (path.stem for path in (CONFIGS / group).glob("*.yaml"))
            raise ConfigError(f"{word} is not a choice{did_you_mean(str(value), options)}")
    bare = key.lstrip("+")
    if bare.lstrip("~").startswith("hydra"):
        return []
    if bare in CHOICES or key[0] == "~" or (key == bare and ("/" in key or "@" in key)):
        return [word]
    return [f"++{word.lstrip('+')}"]


def _message(error: Exception) -> str:
    """The message of another package about bad input, on one line."""
    said = _one_line(str(error)) or type(error).__name__
    cause = _one_line(str(error.__cause__)) if error.__cause__ else ""
    return f"{said if not cause or cause in said else f'{said} ({cause})'}; see wgf --help"
