"""Configs of the jobs of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

# settings of the jobs of hydra/launcher=ensemble unless the command gives them
ENSEMBLE = {"logger": "none", "figures": "false", "record": "auto", "engine": "repeated"}


def unless(settings: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """The overrides of a job, and these settings unless the overrides give them."""
    named = {word.lstrip("+~").partition("=")[0] for word in words}
    return [*words, *(f"{key}={value}" for key, value in settings.items() if key not in named)]


class Composed(NamedTuple):
    """The config of a job: with the node `hydra`, and without it."""

    config: DictConfig
    job: DictConfig


class Composer:
    """Composes the configs of jobs. Jobs that differ in values only share one composition, which takes about 0.1 s.

    Args:
        load: Hydra's composition of a config, with the node `hydra`, from overrides.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig]) -> None:
        self._load = load
        self._groups = set[str]()
        self._known: dict[Hashable, tuple[Composed, list[Override]]] = {}

    def __call__(self, words: Sequence[str]) -> Composed:
        """Config of the job with these overrides; it holds until the next call, which may change it."""
        parsed = [_parsed(word) for word in words]
        kind = self._kind(parsed)
        if kind in self._known:
            composed, before = self._known.pop(kind)  # a change that fails leaves nothing behind
            self._change(composed, before, parsed)
            self._known[kind] = composed, parsed
            return composed
        config = self._load(list(words))
        composed = Composed(config, of_job(config))
        self._groups |= set(config.hydra.runtime.choices)
        values, kind = filter(self._is_value, parsed), self._kind(parsed)
        select = partial(OmegaConf.select, config, throw_on_resolution_failure=False)  # no job has a number yet
        plain = not any(OmegaConf.is_config(select(one.key_or_group)) for one in values)
        if plain and not _overlap([one.key_or_group for one in parsed if not self._is_choice(one)]):
            self._known[kind] = composed, parsed
        return composed

    def _kind(self, parsed: Sequence[Override]) -> Hashable:
        """What jobs share that differ in values only, in any order."""
        others = [str(one.input_line) for one in parsed if not self._is_value(one)]
        return tuple(others), tuple(sorted(one.key_or_group for one in parsed if self._is_value(one)))

    def _is_value(self, override: Override) -> bool:
        """Whether an override sets a plain value of a key, and chooses no file."""
        if override.type is not OverrideType.CHANGE or override.is_sweep_override() or override.package is not None:
            return False
        return isinstance(override.value(), (int, float, str)) and override.key_or_group not in self._groups

    def _is_choice(self, override: Override) -> bool:
        """Whether an override chooses a file, which Hydra does before it sets any value."""
        return override.key_or_group in self._groups and isinstance(override.value(), str)

    def _change(self, composed: Composed, before: Sequence[Override], parsed: Sequence[Override]) -> None:
        """Give a config other values, as Hydra would compose it."""
        config, job = composed
        theirs, ours = ([one for one in parsed if one.is_hydra_override() == hydra] for hydra in (True, False))
        old = {one.key_or_group: one for one in before}
        style = config.hydra.job.config.override_dirname
        with read_write(config.hydra), open_dict(config.hydra):
            for new in filter(self._is_value, parsed):
                if new is not old[new.key_or_group]:
                    for part in (config,) if new in theirs else (config, job):
                        OmegaConf.update(part, new.key_or_group, new.value(), merge=True)
            config.hydra.overrides.hydra = [one.input_line for one in theirs]
            config.hydra.overrides.task = [one.input_line for one in ours]
            config.hydra.job.override_dirname = get_overrides_dirname(
                ours, kv_sep=style.kv_sep, item_sep=style.item_sep, exclude_keys=style.exclude_keys
            )


def _overlap(keys: Sequence[str]) -> bool:
    """Whether two values set the same key, or one a part of what another sets: then their order counts."""
    return any(second.startswith(first) for first, second in pairwise(sorted(f"{key}." for key in keys)))


@lru_cache(maxsize=10_000)
def _parsed(word: str) -> Override:
    return _parser().parse_overrides([word])[0]


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def of_job(config: DictConfig) -> DictConfig:
    """Copy of a config without the node `hydra`."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
