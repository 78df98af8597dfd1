"""The command `wgf`: Hydra composes a config, wgf checks it, and the runner runs it.

torch is imported only when a run starts: help, completion and messages about bad input come at once.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import shutil
import sys
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from wgf.errors import ConfigError, WgfError
from wgf.files import claimed
from wgf.process import loading
from wgf.run.signals import number_of
from wgf.settings.check import CONFIGS, check, raise_faults
from wgf.settings.choices import listing
from wgf.settings.constants import declared
from wgf.settings.foreign_configs import check_hydra, mode_known
from wgf.settings.refusals import check_choices, check_folder, parsed, refuse, refusing
from wgf.settings.resume import continued, quoted
from wgf.sweep import launch
from wgf.sweep.composer import of_job
from wgf.sweep.session import Session, current


def _hash(root: DictConfig) -> str:
    """Six letters by which the configs in folder names differ."""
    container: Any = OmegaConf.to_container(root, resolve=False)
    container.pop("hydra", None)
    return hashlib.sha256(json.dumps(container, sort_keys=True).encode()).hexdigest()[:6]


OmegaConf.register_new_resolver("wgf.hash", lambda *, _root_: _hash(_root_), replace=True)


class Gate(Callback):
    """Checks configs, and claims the folder of a run, before Hydra writes anything."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusing():
            if isinstance(config.resume, str):
                _resume(config)
            check(of_job(config))
            check_choices(config.hydra.runtime.choices)
            HydraConfig.instance().set_config(config)  # run.dir names the choices
            folder = Path(str(config.hydra.run.dir))
            check_folder(str(config.hydra.run.dir))
            folder.mkdir(parents=True, exist_ok=True)
            current().enter_context(claimed(folder))
            if config.resume is None and (folder / "result.json").exists():
                raise ConfigError(f"hydra.run.dir={folder} holds a finished run: choose another folder or remove it")
            if config.resume is None and (folder / "checkpoints").exists():
                raise ConfigError(
                    f"hydra.run.dir={folder} holds a run that was stopped: continue it with resume={folder}, or choose "
                    "another folder"
                )

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with refusing():
            if config.resume is not None:
                raise ConfigError("resume with -m is impossible: continue one run at a time, without -m")
            current().launch(launch.begin(config))


def _resume(config: DictConfig) -> None:
    """Replace the composed config by that of the run to continue, and the folder by that of the run."""
    folder = Path(config.resume).expanduser()
    raise_faults(
        [
            f"{word.partition('=')[0]} with resume is impossible: a run continues in its own folder"
            for word in config.hydra.overrides.hydra
            if word.startswith(("hydra.run", "hydra.output_subdir"))
        ]
    )
    job = continued(folder, list(config.hydra.overrides.task))
    with read_write(config.hydra), open_dict(config):
        for key in of_job(config):
            del config[key]
        config.update(job)
        config.resume = config.hydra.run.dir = str(folder)
        config.hydra.output_subdir = None  # .hydra holds the words that began the run


def _run(cfg: DictConfig) -> float:
    """What Hydra calls: a run, which ends the process with its exit status, or a job of a sweep."""
    job = HydraConfig.get()
    folder = Path(job.runtime.output_dir)
    current().computes = True
    if job.mode is not RunMode.RUN:
        return launch.run_job(cfg, folder, Path(job.sweep.dir))
    try:
        check(cfg)
        with loading("torch"):
            launch.set_threads(cfg.threads)
            from wgf.run.runner import main as run

        status = run(cfg, folder, current().since)
    except ConfigError as error:
        if cfg.resume is None:
            _clear(folder)
        refuse(*error.lines)
    sys.exit(status)


def _clear(folder: Path) -> None:
    """Remove what Hydra wrote before a run that did not begin, and the folders that become empty. No other process
    writes there: the folder is claimed."""
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


def command() -> None:
    """Entry point: `main`, after which the process ends without taking apart what it holds, which would take 0.2 s.

    What other modules registered for the end before this call is not done then, but for that of logging.
    """
    status = list[int]()
    atexit.register(_end, status)  # called after all that is registered later
    try:
        main()
        status.append(0)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status.append(end.code or 0)
        raise


def _end(status: list[int]) -> None:
    """End this process at once with the exit status, if it is known, the output can be written, and nobody looks on."""
    if status and not (sys.gettrace() or sys.getprofile() or active_children()):
        with suppress(OSError, ValueError, AttributeError):  # a reader has ended, or there is no output
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status[0])


def main() -> None:
    """What the command does. Exit status: 0 completed (or blown up where `expect` says so), 1 ended early or not all of
    it saved, 2 bad input, 128 + n after signal n: 130 Ctrl-C, 143 SIGTERM."""
    sys.argv[1:] = [quoted(word) for word in sys.argv[1:]]
    if "--version" in sys.argv or sys.argv[1:2] == ["list"]:
        with refusing():
            print(f"wgf {version('wgf')}" if "--version" in sys.argv else listing(sys.argv[2:]))
        return
    sys.argv[1:] = declared(sys.argv[1:])
    logging.raiseExceptions = False  # a full disk must not fill the terminal, too
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises errors instead of printing them
    session = Session()
    with refusing(lambda: session.computes):
        try:
            with session, mode_known(check_hydra(parsed(sys.argv[1:]))):
                hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")(_run)()
        except ConfigError:
            raise
        except WgfError as error:
            print(f"wgf: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt as interrupt:  # outside the time loop, which ends a run with a status
            print("wgf: interrupted", file=sys.stderr)
            heard = session.sweep.received if session.sweep else None
            sys.exit(128 + (heard or number_of(interrupt)))
        except BrokenPipeError:  # the reader of the output, head or a pager, has ended
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)


if __name__ == "__main__":
    command()
