"""A run: it lets the flow go and writes what a run leaves behind."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from signal import Signals as Interrupt
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from wgf import checks, comparison, exact, resume, table, verify
from wgf.approximation import best_w2
from wgf.callbacks.base import Callback, Outcome, Run, Sinks
from wgf.callbacks.checkpoint import Checkpoint, latest
from wgf.callbacks.figures import Figures
from wgf.callbacks.history import History
from wgf.callbacks.progress import Progress
from wgf.computed import Computed
from wgf.errors import in_one_line
from wgf.evolve import Clock, End
from wgf.experiment import Experiment, build
from wgf.files import PART, claimed, write
from wgf.integrators.base import State
from wgf.metrics import Metrics
from wgf.provenance import circumstances, now, provenance, resumed
from wgf.recorder import LASTING, Recorder
from wgf.signals import Signals
from wgf.status import Status

log = logging.getLogger("wgf")


def _write_text(path: Path, text: str) -> None:
    write(path, text.encode())


def _write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all; numbers that are not finite become null, which JSON can hold."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
    _write_text(path, json.dumps(finite, indent=2, allow_nan=False) + os.linesep)


def _rounding(state: State) -> float:
    """What rounding may do to a map (length)."""
    return 1e3 * torch.finfo(state.theta.dtype).eps * float(state.evaluation.rms)


def _optional(name: str, make: Callable[[], float | None]) -> float | None:
    """A figure that no other needs: that it cannot be had must not cost the run its result."""
    try:
        return make()
    except Exception as error:
        log.warning("no %s: %s", name, in_one_line(error))
        return None


def _result(experiment: Experiment, metrics: Metrics, end: End, start_energy: float, wall: float) -> dict[str, Any]:
    clock, state, known = end.clock, end.state, metrics.exact
    row = metrics.row(clock, state)
    lost = start_energy - float(row["energy"])  # type: ignore[arg-type]
    rounding = 1e3 * torch.finfo(state.theta.dtype).eps * float(state.evaluation.terms.abs().sum())
    law = exact.second_moment(experiment.problem, clock.t)
    return {
        "status": end.status.name,
        "message": end.status.value + (f" ({end.detail})" if end.detail else ""),
        "equation": experiment.problem.equation,
        "t_end": clock.t,
        "t_wanted": experiment.problem.t_end,
        "steps": clock.steps,
        "rejected": clock.rejected,
        "evaluations": clock.evaluations,
        "energy": row["energy"],
        **{key: value for key, value in row.items() if key.startswith("energy_")},
        "dissipated": clock.dissipated,
        "dissipation_gap": abs(lost - clock.dissipated) / lost if lost > rounding else None,
        "w1_error": row["w1_error"],
        "w2_error": row["w2_error"],
        "w2_best": _optional("w2_best", lambda: best_w2(experiment.projection, known, clock.t) if known else None),
        "reference_solution": known.name if known else None,
        "reference_error": getattr(known, "error", None),
        "reference_w2_error": getattr(known, "w2_error", None),
        "w2_to_equilibrium": _optional("w2_to_equilibrium", lambda: metrics.to_equilibrium(state.theta)),
        "mass": metrics.measure(clock.t, state.theta)["mass"],
        "mean": row["mean"],
        "second_moment": row["second_moment"],
        "second_moment_law": law,
        "blow_up_bound": exact.blow_up_bound(experiment.problem),
        "min_slope": row["min_slope"],
        "parameters": state.theta.numel(),
        "time_error": None,
        "space_error": None,
        "doubts": None,
        **{key: row[key] for key in ("rank", "condition", "residual", "truncated", "damped", "iterations")},
        "wall_s": round(wall, 3),
    }


def _flow(experiment: Experiment, recorder: Recorder, past: dict[str, Any] | None) -> End:
    """From the start or a checkpoint to the end."""
    start = experiment.map.theta.detach()
    if past is None:
        return experiment.flow(start, recorder)
    theta, clock = past["theta"].to(start.device), Clock(**past["clock"])
    if "status" in past:  # stopped when all was computed, before all was written
        return End(Status[past["status"]], clock, State(theta, experiment.projection(theta)), past["detail"])
    return experiment.flow(theta, recorder, clock)


def run(
    experiment: Experiment,
    cfg: DictConfig,
    folder: Path,
    resuming: bool = False,
    bar: bool = True,
) -> dict[str, Any]:
    """Let the flow run and leave its files in `folder`.

    Args:
        experiment: what was built from the config.
        cfg: the config, checked.
        folder: made where it is missing.
        resuming: whether the run in this folder goes on from its last checkpoint.
        bar: whether a terminal shows how far it is.

    Returns:
        The content of result.json. "unsaved" is there when something could not be written, and says what.

    Raises:
        ConfigError: another process works in this folder, or there is nothing to go on with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder), Signals() as signals:
        return _run(experiment, cfg, folder, resuming, signals, [Progress()] if bar else [])


def _run(
    experiment: Experiment, cfg: DictConfig, folder: Path, resuming: bool, signals: Signals, first: list[Callback]
) -> dict[str, Any]:
    problem, theta = experiment.problem, experiment.map.theta.detach()
    metrics = Metrics(problem, experiment.map, experiment.exact)
    text = OmegaConf.to_yaml(cfg, resolve=True)
    origin = provenance(theta.device, int(cfg.seed))
    past = _past(folder, text, theta.device) if resuming else None
    if past is not None:
        origin = resumed(folder / "provenance.json", origin, past["step"], past["clock"]["t"])
    _write_text(folder / "config.yaml", text)
    _write_json(folder / "provenance.json", origin)
    log.info("%s, t_end = %g, %d parameters", problem.equation, problem.t_end, theta.numel())
    figures = [Figures()] if experiment.figures else []
    with closing(Sinks([*first, History(), Checkpoint(), experiment.logger, *figures])) as sinks:
        this = {"config": text, "circumstances": circumstances(theta.device)}
        recorder = Recorder(metrics, sinks, signals, this, past)
        about = folder, problem.equation, problem.t_end, metrics.columns, text, origin
        record = Run(*about, rows=recorder.rows, last_row=recorder.last_row)
        with signals.held():
            sinks.start(record)
            end = _flow(experiment, recorder, past)
            if end.status is Status.interrupted and signals.received is not None:
                end.detail = Interrupt(signals.received).name
            recorder.close(end)
            wall = recorder.seconds
            with suppress(KeyboardInterrupt), signals.heard():
                metrics.exact = metrics.exact if metrics.exact is not None else _reference(experiment, end)
            result = _result(experiment, metrics, end, float(experiment.projection(theta).terms.sum()), wall)
            unknown: tuple[str, ...] = ()
            if cfg.verify and end.status is Status.completed:
                with suppress(KeyboardInterrupt), signals.heard():
                    found = verify.estimate(cfg, experiment, end.state.theta)
                    result |= {"time_error": found.time, "space_error": found.space}
                    unknown = found.unknown
            solution = recorder.solution()
            if end.status is Status.completed:
                result["doubts"] = checks.doubts(result, solution, unknown, _rounding(end.state))
            faults, known = list(sinks.dropped), len(sinks.dropped)
            if solution is not None:
                _attempt(faults, lambda: solution.save(folder / "solution.npz"))
            _attempt(faults, lambda: _write_json(folder / "provenance.json", origin | {"end": now()}))
            _attempt(faults, lambda: _write_json(folder / "result.json", result | _unsaved(faults)))
            result |= _unsaved(faults)
        try:
            sinks.finish(record, Outcome(end.status, result, solution))
        except KeyboardInterrupt:
            log.warning("interrupted while the figures were drawn: all else is saved")
        if late := sinks.dropped[known:]:
            faults += late
            result |= _unsaved(faults)
            _attempt(faults, lambda: _write_json(folder / "result.json", result))
    if end.status is not Status.completed:
        log.warning("%s at t = %g: %s", end.status, end.clock.t, result["message"])
    if end.status in LASTING:
        log.warning("go on with it by resume=%s", shlex.quote(str(folder)))
    return result


def _reference(experiment: Experiment, end: End) -> Computed | None:
    """What is computed to compare with, up to where a run came, if it came to a saved time."""
    reached = [t for t in experiment.stops if t <= end.clock.t]
    if end.status is Status.interrupted or not reached or reached[-1] < end.clock.t:
        return None
    return comparison.computed(experiment.problem, reached, experiment.reference)


def _attempt(faults: list[str], write: Callable[[], None]) -> None:
    """Write a file, or note that it cannot be written: the others may be, and the table is printed."""
    try:
        write()
    except OSError as error:
        faults.append(f"{Path(error.filename or '').name}: {error.strerror}")
        log.error("not saved: %s", error)


def _unsaved(faults: list[str]) -> dict[str, str]:
    return {"unsaved": "; ".join(faults)} if faults else {}


def _past(folder: Path, text: str, device: torch.device) -> dict[str, Any] | None:
    """The checkpoint to go on from, None for a run that was stopped before it had one; clears what it left half done.

    Raises:
        ConfigError: there is none that fits.
    """
    state = latest(folder)
    if state is not None:
        resume.compare(folder, state, text, circumstances(device))
        log.info("going on from step %d, t = %g", state["step"], state["clock"]["t"])
    for path in folder.rglob(PART):
        path.unlink(missing_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    return state


def main(cfg: DictConfig, folder: Path) -> int:
    """Run a config, or go on with the run in `cfg.resume`, in a folder the caller has claimed, and print the table.

    Returns:
        The exit status: 0 for a completed run, and for a blow-up where `expect` is blow_up; 128 + n after signal n;
        else 1.
    """
    resuming = cfg.resume is not None
    cfg = OmegaConf.merge(cfg, {"resume": None})  # type: ignore[assignment]
    experiment = build(cfg)
    with Signals() as signals:
        result = _run(experiment, cfg, folder, resuming, signals, [Progress()])
    table.show(result, result["equation"], folder)
    if signals.received is not None:
        return 128 + signals.received
    successes = {Status.completed.name, cfg.expect}
    return 0 if result["status"] in successes and "unsaved" not in result else 1
