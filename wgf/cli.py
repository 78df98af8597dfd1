"""The command `wgf`: Hydra composes a config, it is checked, and the runner takes over.

torch is imported only when a run starts, so that help, completion and complaints come at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from wgf import launch
from wgf.config import CONFIGS, check
from wgf.errors import ConfigError, WgfError
from wgf.refusing import check_choices, check_folder, parsed, refuse, refusing


def _hash(root: DictConfig) -> str:
    """Six letters that tell configs apart in folder names."""
    container: Any = OmegaConf.to_container(root, resolve=False)
    container.pop("hydra", None)
    return hashlib.sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()[:6]


OmegaConf.register_new_resolver("wgf.hash", lambda *, _root_: _hash(_root_), replace=True)


class Gate(Callback):
    """Checks configs before Hydra makes a folder for them."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusing(_run):
            check(_job(config))
            check_choices(config.hydra.runtime.choices)
            HydraConfig.instance().set_config(config)  # run.dir names the choices
            folder = Path(str(config.hydra.run.dir))
            check_folder(str(config.hydra.run.dir))
            if (folder / "result.json").exists():
                raise ConfigError(f"hydra.run.dir={folder} holds a finished run: choose another folder or remove it")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusing(_run):
            launch.begin(config)


def _job(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _run(cfg: DictConfig) -> float:
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    if job.mode is not RunMode.RUN:
        return launch.run_job(cfg, folder)
    try:
        check(cfg)
        launch.set_threads(cfg.threads)
        from wgf.runner import main as run

        status = run(cfg, folder)
    except ConfigError as error:
        _clear(folder)
        refuse(*error.lines)
    sys.exit(status)


def _clear(folder: Path) -> None:
    """Take away what Hydra wrote before a run that never began, and the folders this leaves empty."""
    logging.shutdown()
    shutil.rmtree(folder / ".hydra", ignore_errors=True)
    (folder / "run.log").unlink(missing_ok=True)
    here = Path.cwd()
    with suppress(OSError):
        folder.rmdir()
        for place in folder.parents:
            if here not in place.parents:
                break
            place.rmdir()


def main() -> None:
    """Entry point. Exit status: 0 completed, 1 ended early, 2 bad input, 130 interrupted before there was a result."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come here instead of being printed by Hydra
    with refusing(_run):
        parsed(sys.argv[1:])
        try:
            with launch.collated():
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")(_run)()
        except WgfError as error:
            if isinstance(error, ConfigError):
                raise
            print(f"wgf: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:  # outside the time loop, which ends a run with a status of its own
            print("wgf: interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # whoever read the output, head or a pager, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)


if __name__ == "__main__":
    main()
