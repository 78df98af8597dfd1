"""Chunks of a sweep: each task of a launcher runs several short jobs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.wgf_launcher import Jobs
from wgf.integrators.status import Status
from wgf.sweep.composer import ENSEMBLE
from wgf.sweep.job_folder import outcome

TASKS = ".tasks"  # folder of a sweep with a folder of each task


class Chunks(Launcher):
    """A launcher whose tasks run several jobs each, one after the other, as the ensemble launcher runs them.

    The folder of a task lists its jobs in jobs.json.

    Args:
        launcher: runs the tasks, on this machine or on others.
        size: how many jobs a task runs.

    Attributes:
        unless: settings of every job unless the command gives them.
    """

    unless: ClassVar = ENSEMBLE

    def __init__(self, launcher: Launcher, size: int) -> None:
        self._launcher, self._size = launcher, size
        self._root = Path()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        task = Task(hydra_context, config, task_function)
        self._launcher.setup(hydra_context=hydra_context, task_function=task, config=config)
        self._root = Path(config.hydra.sweep.dir)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = [[initial_job_idx + k, list(words)] for k, words in enumerate(job_overrides)]
        tasks = list[list[str]]()
        for first in range(0, len(jobs), self._size):
            place = f"{TASKS}/{initial_job_idx + first}"
            (self._root / place).mkdir(parents=True, exist_ok=True)
            (self._root / place / "jobs.json").write_text(json.dumps(jobs[first : first + self._size]))
            tasks.append([f"hydra.sweep.subdir={place}", "hydra.output_subdir=null", "hydra.job.chdir=false"])
        answers = self._launcher.launch(tasks, initial_job_idx)
        return [answer for task in answers for answer in task.return_value]


class Task:
    """What runs the jobs of a chunk, wherever its launcher puts it; a job that was interrupted is the last.

    Args:
        context, config: those of the sweep.
        job: what Hydra calls for a job.
    """

    def __init__(self, context: HydraContext, config: DictConfig, job: TaskFunction) -> None:
        self._of_jobs = context, config, job

    def __call__(self, _: Any) -> list[JobReturn]:
        setup_globals()
        run, answers = Jobs(*self._of_jobs), list[JobReturn]()
        place = Path(HydraConfig.get().runtime.output_dir)
        for number, words in json.loads((place / "jobs.json").read_text()):
            answers.append(run(words, number))
            if outcome(Path(answers[-1].working_dir))["status"] == Status.interrupted.name:
                break
        return answers
