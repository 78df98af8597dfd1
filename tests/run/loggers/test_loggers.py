"""All loggers get the same scalars, figures and files; trackers are tested with their real packages, offline."""

import csv
import math
from pathlib import Path

import pytest
from callback_events import record, row, solution
from command_line import called
from wandb_files import records

from wgf.integrators.status import Status
from wgf.result import Result
from wgf.run.callbacks.base import Outcome
from wgf.run.callbacks.history import History
from wgf.run.certify import late
from wgf.run.loggers.base import FILES, Logger, measured
from wgf.run.loggers.csv import Csv

RESULT = {"status": "completed", "steps": 10, "t_end": 1.0, "energy": -1.25, "w1_error": 1e-3, "wall_s": math.inf}
FINALS = {"final/steps": 10.0, "final/energy": -1.25, "final/w1_error": 1e-3}
LAST = {"free_energy/total": -10 / 7, "free_energy/lost": 10 / 7, "error/log10_w1": -3.0, "solver/rank": 6.0}


class Heard(Logger):
    """Keeps what a logger is told."""

    def begin(self, run):
        self.said, self.figures, self.files = {}, {}, []

    def scalars(self, values, step, t):
        self.said |= {(tag, step): (t, value) for tag, value in values.items()}

    def figure(self, name, png, step):
        self.figures[name] = (png[:4], step)

    def file(self, path):
        self.files.append(path.name)


def logged(logger: Logger, folder: Path, parts: tuple[range, ...] = (range(11),)) -> Logger:
    """A run of eleven steps whose reference came late, in one part or resumed."""
    for steps in parts:
        run = record(folder, rows=steps[0], last_row=steps[0] - 1)
        history = History()
        for callback in (history, logger):
            callback.start(run)
        for k in steps:
            for callback in (history, logger):
                callback.row(row(k, t=k / 10, energy=-k / 7))
        history.close()
        if steps[-1] == 10:
            for name in {*FILES} - {"history.csv"}:
                (folder / name).write_text("{}")
            logger.finish(run, Outcome(Status.completed, Result.from_dict(RESULT), solution(), late(solution(), None)))
        logger.close()
    return logger


def test_errors_are_logged_as_logarithms():
    values = measured({"step": 3, "t": 0.5, "w1_error": 1e-6, "w2_error": 4e-17, "energy": math.nan, "mean": None})
    assert values == {"steps/t": 0.5, "error/log10_w1": pytest.approx(-6)}


def test_work_is_a_part_of_the_energy():
    assert measured({"work": 0.7}) == {"free_energy/work": 0.7}


def test_what_every_logger_is_told(tmp_path: Path):
    found = logged(Heard(), tmp_path)
    assert {tag: found.said[tag, 10][1] for tag in LAST} == pytest.approx(LAST)
    assert [step for tag, step in found.said if tag == "error/log10_w1"] == [0, 5, 10]  # at the saved times
    assert found.figures == {"density": (b"\x89PNG", 10), "map": (b"\x89PNG", 10)}
    assert sorted(found.files) == sorted(FILES)


@pytest.mark.parametrize("parts", [(range(11),), (range(8), range(5, 11))], ids=["whole", "resumed"])
def test_csv(tmp_path: Path, parts: tuple[range, ...]):
    logged(Csv(), tmp_path, parts)
    with open(tmp_path / "scalars.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = [(line["tag"], int(line["step"])) for line in rows]
    assert len(set(keys)) == len(keys)  # the steps that are done again count once
    found = {(line["tag"], int(line["step"])): float(line["value"]) for line in rows}
    assert {tag: found[tag, 10] for tag in LAST | FINALS} == pytest.approx(LAST | FINALS)
    assert [step for tag, step in keys if tag == "free_energy/total"] == list(range(11))


@pytest.mark.parametrize("parts", [(range(11),), (range(8), range(5, 11))], ids=["whole", "resumed"])
def test_mlflow(tmp_path: Path, parts: tuple[range, ...]):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from wgf.run.loggers.mlflow import Mlflow

    store = (tmp_path / "store").as_uri()
    (tmp_path / "run").mkdir()
    tracker = Mlflow(store, "trial")
    logged(tracker, tmp_path / "run", parts)
    assert tracker.look() == [f"look at it   mlflow ui --backend-store-uri {store}"]
    client = mlflow.MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("trial").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["network.width"] == "16"
    assert run.data.tags["status"] == "completed"
    assert {tag: run.data.metrics[tag] for tag in LAST | FINALS} == pytest.approx(LAST | FINALS)
    assert {event.step for event in client.get_metric_history(run.info.run_id, "free_energy/total")} == set(range(11))
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {*FILES, "figures"}
    pictures = {file.path for file in client.list_artifacts(run.info.run_id, "figures")}
    assert pictures == {"figures/density.png", "figures/map.png"}


def test_wandb(tmp_path: Path):
    wandb = pytest.importorskip("wandb", reason="needs the extra wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    from wgf.run.loggers.wandb import Wandb

    tracker = Wandb()
    logged(tracker, tmp_path)
    assert tracker.look() == [f"send it      wandb sync {tmp_path}/wandb/offline-run-*"]
    wandb.teardown()  # waits, as the end of a command does, for the process that writes
    (place,) = tmp_path.glob("wandb/offline-run-*")
    (path,) = place.glob("*.wandb")
    told, summary = [], {}
    for entry in map(Record.FromString, records(path)):
        if entry.WhichOneof("record_type") == "history":
            told.append({item.key or "/".join(item.nested_key): item.value_json for item in entry.history.item})
        summary |= {item.key or "/".join(item.nested_key): item.value_json for item in entry.summary.update}
    energies = [float(line["free_energy/total"]) for line in told if "free_energy/total" in line]
    assert energies == pytest.approx([-k / 7 for k in range(11)])
    errors = [(float(line["t"]), float(line["error/log10_w1"])) for line in told if "error/log10_w1" in line]
    assert errors == [pytest.approx((t, -3.0)) for t in (0.0, 0.5, 1.0)]
    assert {tag: float(summary[tag]) for tag in FINALS} == pytest.approx(FINALS)
    figures = {key.split("/")[1] for line in told for key in line if key.startswith("figures/")}
    assert figures == {"density", "map"}
    assert {path.name for path in place.glob("files/*")} >= {*FILES} - {"config.yaml"}


@pytest.mark.parametrize("logger", ["mlflow", "wandb"])
def test_a_missing_tracker_refuses_the_run(tmp_path: Path, logger: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wgf.run.loggers.base.find_spec", lambda name: None)
    status, out, err = called(tmp_path, f"logger={logger}", "hydra.run.dir=run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"pip install -e '.[{logger}]' (in the checkout)" in err
    assert not (tmp_path / "run").exists()
