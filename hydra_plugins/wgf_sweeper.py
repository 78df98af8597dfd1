"""The sweepers of `wgf -m`, which continue when a job is killed.

A grid names its folders and runs only jobs that have not completed; in a search, Optuna chooses the values.
"""

import hashlib
import logging
import math
import re
import time
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.wgf_chunks import Chunks
from wgf.errors import ConfigError, WgfError
from wgf.settings.foreign_configs import check_node
from wgf.sweep import job_folder as job
from wgf.sweep.composer import of_job, unless
from wgf.sweep.session import current

log = logging.getLogger("wgf")

LONGEST = 100  # letters in the name of a folder
SHOWN = 3  # folders named in a message
GRACE = 5.0  # seconds in which a launched job locks its folder


@dataclass(frozen=True)
class Job:
    """A job of the grid: its overrides and its folder, which is None where the user names the folders."""

    words: list[str]
    folder: Path | None

    @property
    def status(self) -> str:
        return "waiting" if self.folder is None else str(job.outcome(self.folder)["status"])


def numbered(config: DictConfig) -> bool:
    """Whether the folders of jobs are named by numbers, as they are by default."""
    subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]
    return subdir == "${hydra:job.num}"


class Engine:
    """Launcher that retries jobs lost to a killed pool, and refuses jobs whose config would run other code."""

    def __init__(self, launcher: Launcher, context: HydraContext, config: DictConfig) -> None:
        self._launcher, self._context, self._config = launcher, context, config
        providers = [str(source.provider) for source in config.hydra.runtime.config_sources]
        self._foreign = any(provider == "command-line" or "searchpath" in provider for provider in providers)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Check the config of every job, since two harmless choices may run code together; then launch the jobs."""
        job_overrides = [completed(words, self._launcher) for words in job_overrides]
        if sweep := current().sweep:
            sweep.check()
        if self._foreign:
            for words in job_overrides:
                check_node(self._context.config_loader.load_sweep_config(self._config, list(words)).hydra)
        return self._launcher.launch(job_overrides, initial_job_idx=initial_job_idx)

    def run(self, jobs: list[Job], first: int) -> None:
        """Run jobs to their end. A killed process ends its pool and every job in it: the jobs that had not begun get a
        new pool, and those that had begun are tried once more, each alone."""
        caught: list[Job] = []
        while jobs:
            try:
                self._once(jobs, first)
                break
            except BrokenProcessPool:
                log.warning("a process was killed: jobs that had begun are tried again at the end, each alone")
                begun = [one for one in jobs if one.status in ("killed", "running")]
                if not begun:
                    raise
                caught += begun
                jobs = [one for one in jobs if one.status == "waiting"]
        for one in caught:
            try:
                self._once([one], first)
            except BrokenProcessPool:
                log.warning("killed again, alone this time: %s", one.folder)

    def _once(self, jobs: list[Job], first: int) -> None:
        try:
            answers = Engine.launch(self, [one.words for one in jobs], first)
        except (BrokenProcessPool, ConfigError):
            raise
        except Exception as error:  # some launchers give up at the first killed job while the others run
            self._wait(jobs)
            said = " ".join(str(error).split())[:300]
            if not any(one.status == "killed" for one in jobs):
                raise WgfError(f"{type(self._launcher).__name__} gave up: {type(error).__name__}: {said}") from error
            log.warning("a job was killed: %s", said)
        else:
            for answer in answers:
                _ = answer.return_value  # raises what went wrong outside the job

    def _wait(self, jobs: list[Job]) -> None:
        """Wait until no job has run for a while."""
        last = time.monotonic()
        while time.monotonic() < last + GRACE:
            if any(one.status == "running" for one in jobs):
                last = time.monotonic()
            time.sleep(0.2)


class GridSweeper(BasicSweeper):
    """Every combination of comma-separated values.

    Args:
        max_batch_size: the number of jobs that the launcher gets at once; null: all of them.
        jobs_per_task: how many jobs a task of the launcher runs.
        params: axes beside those of the command line.
    """

    def __init__(self, max_batch_size: int | None, jobs_per_task: int = 1, params: Any = None) -> None:
        super().__init__(max_batch_size, params)
        self._per_task = jobs_per_task

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        if self._per_task > 1:
            self.launcher = Chunks(self.launcher, self._per_task)
            self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        root = Path(self.config.hydra.sweep.dir)
        jobs = [replace(one, words=completed(one.words, self.launcher)) for one in self._jobs(root, arguments)]
        self._check(jobs)
        root.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, root / "multirun.yaml")
        missing = [one for one in jobs if one.folder is None or not job.finished(one.folder)]
        if sweep := current().sweep:
            sweep.leave_alone(one.folder for one in jobs if one.folder is not None and one not in missing)
        if len(missing) < len(jobs):
            log.info("%d of %d jobs are complete and not run again", len(jobs) - len(missing), len(jobs))
        engine, size = Engine(self.launcher, self.hydra_context, self.config), self.max_batch_size or len(missing) or 1
        for first in range(0, len(missing), size):
            engine.run(missing[first : first + size], first)

    def _jobs(self, root: Path, arguments: list[str]) -> list[Job]:
        parsed = OverridesParser.create().parse_overrides([*self._parse_config(), *arguments])
        axes = [override.get_key_element() for override in parsed if override.is_sweep_override()]
        [grid] = self.split_arguments(parsed, None)
        if not (axes and numbered(self.config)):
            return [Job(words, None) for words in grid]
        named = {name(words, axes): words for words in grid}  # a value given twice is one job
        return [Job([*words, f"hydra.sweep.subdir={folder}"], root / folder) for folder, words in named.items()]

    def _check(self, jobs: list[Job]) -> None:
        """Check that folders that exist hold the same jobs."""
        lines: list[str] = []
        for one in jobs:
            if one.folder is not None and (one.folder / "config.yaml").exists():
                cfg = self.hydra_context.config_loader.load_sweep_config(self.config, one.words)
                try:
                    job.check_same(one.folder, of_job(cfg))
                except ConfigError as error:
                    lines += error.lines
        if lines:
            more = [f"and {len(lines) - SHOWN} more such folders"] if len(lines) > SHOWN else []
            raise ConfigError(*lines[:SHOWN], *more)


class SearchSweeper(Sweeper):
    """Optuna's sweeper, in which a killed trial has an infinite objective like every failed trial.

    Args:
        settings: those of Optuna's sweeper.
    """

    def __init__(self, **settings: Any) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper  # an extra

        self._optuna = OptunaSweeper(**settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        kind = Trials if numbered(config) else Engine
        engine = kind(self._optuna.sweeper.launcher, hydra_context, config)
        self._optuna.sweeper.launcher = Judge(engine, int(config.hydra.sweeper.n_trials))

    def sweep(self, arguments: list[str]) -> None:
        self._optuna.sweep(arguments)


class Trials(Engine):
    """Launcher that reads the objectives of trials from their folders."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        root = Path(self._config.hydra.sweep.dir)
        named = {
            str(number): completed(list(w), self._launcher) for number, w in enumerate(job_overrides, initial_job_idx)
        }
        trials = [Job([*words, f"hydra.sweep.subdir={name}"], root / name) for name, words in named.items()]
        self.run(trials, initial_job_idx)
        found = [job.objective(job.outcome(root / name), self._formula(words)) for name, words in named.items()]
        return [JobReturn(_return_value=value, status=JobStatus.COMPLETED) for value in found]

    def _formula(self, words: list[str]) -> str:
        return self._context.config_loader.load_sweep_config(self._config, words).objective


class Judge:
    """Launcher that ends a search without a single good trial, before Optuna calls one of them the best.

    Args:
        engine: launches the trials.
        total: how many trials there will be.
    """

    def __init__(self, engine: Engine, total: int) -> None:
        self._engine, self._total, self._values = engine, total, list[float]()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        answers = self._engine.launch(job_overrides, initial_job_idx)
        self._values += [answer.return_value for answer in answers]
        if len(self._values) >= self._total and not any(map(math.isfinite, self._values)):
            raise WgfError(f"none of the {self._total} trials of this search completed: results.csv says why")
        return answers


def completed(words: Sequence[str], launcher: Launcher) -> list[str]:
    """The overrides of a job, and those that its launcher adds unless the command gives them."""
    return unless(getattr(launcher, "unless", {}), words)


def name(words: list[str], axes: list[str]) -> str:
    """The name of a folder, from the values that vary, in letters that need no quotes: width-4_degree-1.

    Args:
        words: all overrides of the job.
        axes: the keys that vary.
    """
    short = {axis: axis.rpartition(".")[2] for axis in axes}
    if len(set(short.values())) < len(axes):
        short = {axis: axis for axis in axes}
    pairs = [word.partition("=") for word in words]
    text = "_".join(f"{short[key]}-{value}" for key, _, value in pairs if key in axes)
    plain = re.sub(r"[^\w.+-]", "_", text)
    if plain == text and len(text) <= LONGEST:
        return text
    return f"{plain[:LONGEST]}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
