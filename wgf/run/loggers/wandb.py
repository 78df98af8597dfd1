"""Runs in Weights & Biases, offline by default: `wandb sync` sends them later."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import yaml

from wgf.files import relative
from wgf.run.callbacks.base import Outcome, Run
from wgf.run.loggers.base import Logger, finals, identity, require
from wgf.settings.flat import leaves
from wgf.settings.ranges import Switch, Text, checked


class Wandb(Logger):
    """Logs to Weights & Biases against the time of the equation, `t`.

    Args:
        project: name of the project.
        online: whether to send the run at once; else it waits in the folder of the run for `wandb sync`.
    """

    _tracked: Any = None

    @checked
    def __init__(self, project: Text = "wgf", online: Switch = False) -> None:
        require("wandb")
        self._project, self._online = project, online

    def look(self) -> list[str]:
        place = relative(self._run.folder)
        return [] if self._online else [f"send it      wandb sync {place}/wandb/offline-run-*"]

    def begin(self, run: Run) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._tracked = wandb.init(
            project=self._project,
            mode="online" if self._online else "offline",
            id=identity(run),
            resume="allow",
            name=run.folder.name,
            dir=run.folder,
            config=leaves(yaml.safe_load(run.config_text)) | {"equation": run.title},
            settings=wandb.Settings(console="off", x_disable_stats=True, disable_git=True, save_code=False),
        )
        self._tracked.define_metric("*", step_metric="t")

    def scalars(self, values: dict[str, float], step: int, t: float) -> None:
        self._tracked.log({"step": step, "t": t, **values})

    def figure(self, name: str, png: bytes, step: int) -> None:
        import wandb
        from PIL import Image

        self._tracked.log({f"figures/{name}": wandb.Image(Image.open(io.BytesIO(png)))})

    def file(self, path: Path) -> None:
        self._tracked.save(path, base_path=path.parent, policy="now")

    def end(self, run: Run, outcome: Outcome) -> None:
        self._tracked.summary.update(finals(outcome.result) | {"status": outcome.status.name})
        self._tracked.finish(exit_code=0 if outcome.status.is_success else 1)
        self._tracked = None

    def close(self) -> None:
        if self._tracked is not None:
            self._tracked.finish(exit_code=1)
        self._tracked = None
