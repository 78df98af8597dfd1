"""Runs in MLflow: settings as parameters, scalars as metrics, figures and files as artifacts."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import Any

import yaml

from wgf.run.callbacks.base import Outcome, Run
from wgf.run.loggers.base import Logger, finals, identity, require
from wgf.settings.flat import leaves
from wgf.settings.ranges import Text, checked

MARK = "wgf.run"  # tag by which a resumed run is found again


class Mlflow(Logger):
    """Logs to an MLflow store.

    Args:
        uri: address of the store; by default MLFLOW_TRACKING_URI, or the folder mlruns where the command runs.
        experiment: name of the experiment in the store.
    """

    @checked
    def __init__(self, uri: Text = "", experiment: Text = "wgf") -> None:
        require("mlflow")
        self._uri, self._experiment = uri, experiment

    @property
    def _store(self) -> str:
        return self._uri or os.environ.get("MLFLOW_TRACKING_URI") or Path("mlruns").absolute().as_uri()

    def look(self) -> list[str]:
        return [f"look at it   mlflow ui --backend-store-uri {shlex.quote(self._store)}"]

    def begin(self, run: Run) -> None:
        uri = self._store
        if uri.startswith("file:"):
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder needs no data base
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client: Any = MlflowClient(uri)
        known = self._client.get_experiment_by_name(self._experiment)
        home = known.experiment_id if known else self._client.create_experiment(self._experiment)
        mark = identity(run)
        found = self._client.search_runs([home], f"tags.`{MARK}` = '{mark}'") if run.rows else []
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, "RUNNING")
            return
        tags = {MARK: mark, "equation": run.title}
        self._id = self._client.create_run(home, tags=tags, run_name=run.folder.name).info.run_id
        settings = leaves(yaml.safe_load(run.config_text))
        self._client.log_batch(self._id, params=[Param(name, str(value)) for name, value in settings.items()])

    def scalars(self, values: dict[str, float], step: int, t: float) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._id, metrics=[Metric(tag, value, now, step) for tag, value in values.items()])

    def figure(self, name: str, png: bytes, step: int) -> None:
        path = self._run.folder / "figures" / f"{name}.png"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png)
        self._client.log_artifact(self._id, str(path), "figures")

    def file(self, path: Path) -> None:
        self._client.log_artifact(self._id, str(path))

    def end(self, run: Run, outcome: Outcome) -> None:
        self.scalars(finals(outcome.result), outcome.result.steps or 0, outcome.result.t_end or 0.0)
        self._client.set_tag(self._id, "status", outcome.status.name)
        self._client.set_terminated(self._id, "FINISHED" if outcome.status.is_success else "FAILED")
