"""The launcher of many short jobs, and what runs each of them."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, env_override, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict, read_write

from wgf.errors import ConfigError
from wgf.process import cores, loading
from wgf.settings.resume import text_of
from wgf.sweep.composer import ENSEMBLE, Composer
from wgf.sweep.forked import in_processes
from wgf.sweep.session import current


class Jobs:
    """Runs jobs in this process as `hydra.core.utils.run_job` does, without its copies of the config.

    Jobs that differ in values only share one composed config. Of Hydra's own files it writes the overrides.

    Args:
        context, config: those of the sweep.
        job: what Hydra calls for a job.
    """

    def __init__(self, context: HydraContext, config: DictConfig, job: TaskFunction) -> None:
        known = current().sweep  # a task elsewhere knows none
        self.compose = (known and known.composer) or Composer(partial(context.config_loader.load_sweep_config, config))
        self._job = job

    def __call__(self, words: list[str], number: int) -> JobReturn:
        """Run the job with these overrides and this number."""
        ours, (config, job) = [word for word in words if not word.startswith("hydra")], self.compose(words)
        HydraConfig.instance().cfg = config  # the name of the folder may depend on it
        with read_write(config.hydra), open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
            folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
            config.hydra.runtime.output_dir = str(folder.absolute())
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        (folder / ".hydra" / "overrides.yaml").write_text(text_of(config.hydra.overrides.task), encoding="utf-8")
        configure_log(config.hydra.job_logging, config.hydra.verbose)
        answer = JobReturn(overrides=ours, working_dir=str(folder), status=JobStatus.COMPLETED)
        try:
            with env_override(config.hydra.job.env_set):
                answer.return_value = self._job(job)
        except Exception as error:  # the other jobs run
            answer.status, answer.return_value = JobStatus.FAILED, error
        return answer


def _prepare() -> None:
    """Load what runs a job, and look up the versions of this program, once for all forks."""
    with loading():
        import torch

        from wgf.run.runner import provenance

    provenance(torch.device("cpu"), 0)


class EnsembleLauncher(BasicLauncher):
    """Runs jobs in forks of this process.

    A job draws no figures and writes no event files unless the command asks for them, and without them it measures its
    last state alone.

    Args:
        n_jobs: how many at once, 1 for jobs in this process; -1: one per core.

    Attributes:
        unless: settings of every job unless the command gives them.
    """

    unless: ClassVar = ENSEMBLE

    def __init__(self, n_jobs: int = -1) -> None:
        super().__init__()
        self._at_once = n_jobs

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        setup_globals()
        run, before = Jobs(self.hydra_context, self.config, self.task_function), HydraConfig.instance().cfg
        jobs = [list(words) for words in job_overrides]
        try:
            run.compose(jobs[0])  # which the others change
            _prepare()
            return in_processes(lambda k: run(jobs[k], initial_job_idx + k), len(jobs), self._processes)
        finally:
            HydraConfig.instance().cfg = before
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)

    @property
    def _processes(self) -> int:
        if self._at_once == -1:
            return cores() if sys.platform == "linux" else 1
        if not isinstance(self._at_once, int) or self._at_once < 1:
            raise ConfigError(
                f"hydra.launcher.n_jobs={self._at_once} is not allowed: expected 1 or more, or -1 for all cores"
            )
        return self._at_once
