"""The launcher of many short jobs."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from omegaconf import open_dict

from wgf.sweep.composer import Composer

log = logging.getLogger("wgf")

QUIET = {"logger": "none", "figures": "false"}  # unless the user says otherwise


class EnsembleLauncher(BasicLauncher):
    """Runs all jobs in this process, one after another. Jobs that differ in values only share one composed config.

    A job draws no figures and writes no event files unless the command asks for them.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        setup_globals()
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        loader, master = self.hydra_context.config_loader, self.config
        composer = Composer(lambda words: loader.load_sweep_config(master, words))
        answers = []
        for number, words in enumerate(job_overrides, initial_job_idx):
            named = {word.lstrip("+~").partition("=")[0] for word in words}
            config = composer([*words, *(f"{key}={value}" for key, value in QUIET.items() if key not in named)])
            with open_dict(config):
                config.hydra.job.id = config.hydra.job.num = number
                config.hydra.overrides.task = [word for word in words if not word.startswith("hydra")]
            answers.append(
                run_job(
                    hydra_context=self.hydra_context,
                    task_function=self.task_function,
                    config=config,
                    job_dir_key="hydra.sweep.dir",
                    job_subdir_key="hydra.sweep.subdir",
                )
            )
            configure_log(master.hydra.hydra_logging, master.hydra.verbose)
        return answers
