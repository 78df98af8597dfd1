"""Launching a sweep: check every value before it begins, and run one of its jobs."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from omegaconf import DictConfig, OmegaConf

from wgf.errors import ConfigError, in_one_line, install
from wgf.integrators.status import Status
from wgf.process import loading
from wgf.run.signals import STOPPING, Signals, number_of
from wgf.settings.check import check, raise_faults
from wgf.settings.foreign_configs import check_node
from wgf.settings.ranges import Range, fault
from wgf.settings.refusals import check_folder
from wgf.sweep.composer import ENSEMBLE, Composer, unless
from wgf.sweep.forked import beside
from wgf.sweep.job_folder import EXPECTED, Claim, check_same, finished, objective, outcome, when_free
from wgf.sweep.session import Sweep, current, ignore_signals, is_stopped

log = logging.getLogger("wgf")

EXTRAS = {"hydra_submitit_launcher": "slurm", "hydra_ray_launcher": "ray", "hydra_optuna_sweeper": "optuna"}
AT_LEAST_1 = Range(int, low=1)
FOLDER = "hydra.sweep.subdir=0"  # one of the words of a job
BEHIND = {"hydra_plugins.wgf_sweeper.SearchSweeper": "hydra_plugins.hydra_optuna_sweeper"}


def begin(config: DictConfig) -> Sweep:
    """Check every value of a sweep by itself; a fault of a combination of values is found by its job.

    Args:
        config: with the node `hydra`.

    Returns:
        The sweep, which has not been entered.

    Raises:
        ConfigError: with a line for every fault.
    """
    sweeper = config.hydra.sweeper
    raise_faults([line for kind in ("launcher", "sweeper") for line in _absent(config.hydra, kind)])
    per_task = sweeper.get("jobs_per_task", 1)
    if not AT_LEAST_1.admits(per_task):
        raise ConfigError(fault("hydra.sweeper.jobs_per_task", per_task, AT_LEAST_1))
    check_folder(str(config.hydra.sweep.dir), "hydra.sweep.dir")
    added = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    axes = list(_axes([*added, *config.hydra.overrides.task]))
    composer = Composer(partial(GlobalHydra.instance().config_loader().load_sweep_config, config))
    forked = config.hydra.runtime.choices["hydra/launcher"] == "ensemble"  # the jobs are built in this process now
    if forked and per_task > 1:
        raise ConfigError(
            f"hydra.sweeper.jobs_per_task={per_task} with hydra/launcher=ensemble is not allowed: it runs all jobs in "
            "forks of one process; leave jobs_per_task out, or choose parallel, slurm or ray_cluster"
        )
    short = forked or per_task > 1
    choices = [unless(ENSEMBLE, [*choice, FOLDER]) if short else choice for choice in _each_value(axes)]
    first, others = (choices[:1], choices[1:]) if forked else (choices, [])
    configs, lines = _checked(composer, first)
    with beside(lambda: _checked(composer, others)[1]) as found:
        if not lines:
            _load()
        raise_faults(list(dict.fromkeys(lines + found())))
    raise_faults(_unbuildable(configs))
    trials = sweeper.get("n_trials")
    varied = [axis[0].partition("=")[0].lstrip("+") for axis in axes if len(axis) > 1]
    return Sweep(Path(config.hydra.sweep.dir), trials or math.prod(map(len, axes)), trials is None, varied, composer)


def _load() -> None:
    """Load torch with one thread: scipy keeps the number at its import for all jobs here, and a fork hangs where it was
    two."""
    with loading("torch"):
        set_threads(1)


def _checked(composer: Composer, choices: Sequence[list[str]]) -> tuple[list[DictConfig], list[str]]:
    """The configs of jobs with these overrides, without those that have faults, and the faults."""
    configs: list[DictConfig] = []
    lines: list[str] = []
    checked: tuple[DictConfig | None, Any] = None, None  # the last node `hydra`
    for choice in choices:
        try:
            composed = composer(choice)
            node, words = composed.config.hydra, OmegaConf.to_container(composed.config.hydra.overrides.hydra)
            if node is not checked[0] or words != checked[1]:
                check_node(node)  # each job sets up its own logging
                checked = node, words
            check(composed.job)
            configs.append(composed.job.copy())
        except ConfigError as error:
            lines += error.lines
    return configs, lines


def _unbuildable(configs: list[DictConfig]) -> list[str]:
    """Faults that show when the parts of a run are put together; a device of the cluster is not this machine's."""
    with loading("torch"):
        from wgf.run.build import build  # torch

    lines: list[str] = []
    for cfg in configs:
        if cfg.device == "cpu":
            try:
                build(cfg)
            except ConfigError as error:
                lines += error.lines
    return list(dict.fromkeys(lines))


def run_job(cfg: DictConfig, folder: Path, root: Path) -> float:
    """Run a job that has not completed yet; record an error of it in its folder, so that the sweep continues.

    Args:
        cfg: its config.
        folder: its folder.
        root: the folder of the sweep.

    Returns:
        The number that a search minimizes.

    Raises:
        ConfigError: the folder holds another job.
        KeyboardInterrupt: the job was interrupted, in the process that launched the sweep.
    """
    check_same(folder, cfg)
    sweep = current().sweep
    if sweep is None:
        ignore_signals()
    with Signals(sweep) as signals, when_free(folder) as claim:
        try:
            if not finished(folder) and not is_stopped(root):
                _compute(cfg, folder, claim, signals)
        except KeyboardInterrupt as interrupt:
            with signals.held():
                name = number_of(interrupt).name
                claim.mark(Status.interrupted.name, f"stopped before its first step ({name})")
    found = outcome(folder)
    if sweep is not None and found["status"] == Status.interrupted.name:
        sweep.stop(next((number for number in STOPPING if number.name in found["message"]), SIGINT))
    return objective(found, cfg.objective)


def _compute(cfg: DictConfig, folder: Path, claim: Claim, signals: Signals) -> None:
    """Run a job and mark how it ended where its result.json does not say so."""
    resuming = claim.begin()
    try:
        check(cfg)
        _only_errors()
        with loading():
            set_threads(cfg.threads or 1)
            from wgf.run.runner import build, run

        result = run(build(cfg), cfg, folder, resuming, bar=False, outer=signals)
        if result.status == cfg.expect:
            claim.mark(EXPECTED, result.message)
    except ConfigError as error:
        claim.mark("refused", "; ".join(error.lines))
    except Exception as error:
        if type(error).__name__ == "UncompletedJobError":  # of submitit: SLURM took the process once too often
            claim.mark(Status.interrupted.name, in_one_line(error))
        else:
            log.info("this job crashed", exc_info=error)  # in run.log; the terminal gets one line
            claim.mark("crashed", in_one_line(error))


def set_threads(count: int | None) -> None:
    """Set the threads of torch; None leaves the number to torch. A worker keeps the number that its last job set."""
    if count is not None:
        os.environ["OMP_NUM_THREADS"] = str(count)  # read once, when scipy's linear algebra is loaded
        import torch

        torch.set_num_threads(count)


def _only_errors() -> None:
    """Print nothing but errors of a job on the terminal; run.log has every line."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.ERROR)


def _absent(hydra: DictConfig, kind: str) -> Iterator[str]:
    """A line that names the missing package of a launcher or a sweeper."""
    target = BEHIND.get(hydra[kind]._target_, hydra[kind]._target_)
    package = target.split(".")[1]
    if target.startswith("hydra_plugins.") and find_spec(f"hydra_plugins.{package}") is None:
        name, choice = package.replace("_", "-"), hydra.runtime.choices[f"hydra/{kind}"]
        mend = install(EXTRAS[package]) if package in EXTRAS else f"pip install {name}"
        yield f"hydra/{kind}={choice} needs {name}: {mend}"


def _axes(overrides: list[str]) -> Iterator[list[str]]:
    """The values of every override; of an interval, its two ends."""
    for text, override in zip(overrides, OverridesParser.create().parse_overrides(overrides), strict=True):
        key, value = override.get_key_element(), override.value()
        if isinstance(value, IntervalSweep):
            yield [f"{key}={value.start}", f"{key}={value.end}"]
        elif override.is_sweep_override():
            yield [f"{key}={value}" for value in map(str, override.sweep_string_iterator())]
        else:
            yield [text]


def _each_value(axes: list[list[str]]) -> Iterator[list[str]]:
    """The first value of every axis; then each other value of an axis, with the first values of the other axes."""
    first = [axis[0] for axis in axes]
    yield first
    for k, axis in enumerate(axes):
        for value in axis[1:]:
            yield [*first[:k], value, *first[k + 1 :]]
