"""A sweep as it is launched: what is checked before it begins, one of its jobs, its table when it is over."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from omegaconf import DictConfig, open_dict

from wgf.errors import ConfigError, WgfError, in_one_line
from wgf.integrators.status import Status
from wgf.settings.check import check, raise_faults
from wgf.settings.foreign_configs import check_node
from wgf.settings.refusals import check_folder
from wgf.sweep import collate as sweep
from wgf.sweep.job_folder import EXPECTED, check_same, claimed, finished, objective, outcome
from wgf.sweep.progress import Watch

log = logging.getLogger("wgf")

EXTRAS = {
    "hydra_submitit_launcher": "-e '.[slurm]' (in the checkout)",
    "hydra_ray_launcher": "-e '.[ray]' (in the checkout)",
    "hydra_optuna_sweeper": "-e '.[optuna]' (in the checkout)",
}
BEHIND = {"hydra_plugins.wgf_sweeper.SearchSweeper": "hydra_plugins.hydra_optuna_sweeper"}

_launched: tuple[Watch, bool] | None = None  # the sweep of this process, and whether it is a grid


def begin(config: DictConfig) -> None:
    """Check every value of a sweep by itself and watch its folder; what only a combination shows is left to its job.

    Args:
        config: with the node `hydra`.

    Raises:
        ConfigError: with a line for every fault.
    """
    global _launched
    sweeper = config.hydra.sweeper
    raise_faults([line for kind in ("launcher", "sweeper") for line in _absent(config.hydra, kind)])
    check_folder(str(config.hydra.sweep.dir), "hydra.sweep.dir")
    added = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    axes = list(_axes([*added, *config.hydra.overrides.task]))
    lines: list[str] = []
    configs = []
    for choice in _each_value(axes):
        try:
            cfg = compose(config.hydra.job.config_name, choice, return_hydra_config=True)
            check_node(cfg.hydra)  # each job sets up its own logging
            with open_dict(cfg):
                del cfg["hydra"]
            check(cfg)
            configs.append(cfg)
        except ConfigError as error:
            lines += error.lines
    raise_faults(list(dict.fromkeys(lines)) or _unbuildable(configs))
    trials = sweeper.get("n_trials")
    watch = Watch(Path(config.hydra.sweep.dir), trials or math.prod(map(len, axes)))
    watch.start()
    _launched = watch, trials is None


def _unbuildable(configs: list[DictConfig]) -> list[str]:
    """Faults that show when the parts of a run are put together; a device of the cluster is not this machine's."""
    from wgf.run.build import build  # torch

    lines: list[str] = []
    for cfg in configs:
        if cfg.device == "cpu":
            try:
                build(cfg)
            except ConfigError as error:
                lines += error.lines
    return list(dict.fromkeys(lines))


def left_alone(folders: Iterable[Path]) -> None:
    """These jobs of the sweep of this process are complete and will not be launched."""
    if _launched is not None:
        _launched[0].done.update(folders)


@contextmanager
def collated() -> Iterator[None]:
    """A sweep begun in the block leaves its table, however it ends.

    Raises:
        WgfError: jobs of a grid did not complete; a search lives with that.
    """
    try:
        yield
    except BaseException as error:
        _end(begun=not isinstance(error, ConfigError))
        raise
    if failed := _end():
        raise WgfError(failed)


def _end(begun: bool = True) -> str:
    """Collate the sweep of this process; returns what is wrong with it, nothing where all is well."""
    global _launched
    if _launched is None:
        return ""
    (watch, grid), _launched = _launched, None
    watch.stop()
    if not begun or not sweep.jobs(watch.root):
        return ""
    found = sweep.collate(watch.root)
    sweep.report(found)
    return f"{len(found.failed())} of {len(found.rows)} jobs did not complete" if grid and found.failed() else ""


def run_job(cfg: DictConfig, folder: Path) -> float:
    """Run a job that has not completed yet; what goes wrong with it is written down and ends no other.

    Returns:
        What a search makes small.

    Raises:
        ConfigError: the folder holds another job.
        KeyboardInterrupt: the job was interrupted, in the process that launched the sweep.
    """
    check_same(folder, cfg)
    with claimed(folder) as claim:
        if not finished(folder):
            resuming = claim.begin()
            try:
                check(cfg)
                set_threads(cfg.threads or 1)
                _only_errors()
                from wgf.run.runner import build, run

                result = run(build(cfg), cfg, folder, resuming, bar=False)
                if result.status == cfg.expect:
                    claim.mark(EXPECTED, result.message)
            except ConfigError as error:
                claim.mark("refused", "; ".join(error.lines))
            except Exception as error:
                log.info("this job crashed", exc_info=error)  # run.log; the terminal gets the line of the watch
                claim.mark("crashed", in_one_line(error))
    found = outcome(folder)
    if found["status"] == Status.interrupted.name and _launched is not None:
        raise KeyboardInterrupt
    return objective(found, cfg.objective)


def set_threads(count: int | None) -> None:
    """None leaves the choice to torch. A worker keeps what the job before it set, so every job of a sweep sets it."""
    if count is not None:
        os.environ["OMP_NUM_THREADS"] = str(count)  # read once, when scipy's linear algebra is loaded
        import torch

        torch.set_num_threads(count)


def _only_errors() -> None:
    """The terminal belongs to the whole sweep; run.log has every line of the job."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.ERROR)


def _absent(hydra: DictConfig, kind: str) -> Iterator[str]:
    """Launchers and sweepers come as extras."""
    target = BEHIND.get(hydra[kind]._target_, hydra[kind]._target_)
    package = target.split(".")[1]
    if target.startswith("hydra_plugins.") and find_spec(f"hydra_plugins.{package}") is None:
        name, choice = package.replace("_", "-"), hydra.runtime.choices[f"hydra/{kind}"]
        yield f"hydra/{kind}={choice} needs {name}: pip install {EXTRAS.get(package, name)}"


def _axes(overrides: list[str]) -> Iterator[list[str]]:
    """The values an override stands for, of an interval its ends."""
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            yield [f"{key}={value.start}", f"{key}={value.end}"]
        elif override.is_sweep_override():
            yield [f"{key}={value}" for value in map(str, override.sweep_string_iterator())]
        else:
            yield [text]


def _each_value(axes: list[list[str]]) -> Iterator[list[str]]:
    """The first value of every axis, and then each other value of one axis with the first of the others."""
    first = [axis[0] for axis in axes]
    yield first
    for k, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:k], value, *first[k + 1 :]]
