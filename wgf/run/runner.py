"""One run: build, run, measure, save."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from signal import Signals as SignalName
from time import monotonic
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from wgf.certificates.own_bound import OwnBound
from wgf.certificates.unseen import ENERGY, missed_at, unseen
from wgf.files import PART, claimed, write
from wgf.flow import Flow
from wgf.integrators.base import State
from wgf.integrators.status import Status
from wgf.integrators.time_loop import Clock, End
from wgf.networks.energy_error import QuadratureOfEnergies
from wgf.result import Result, finite
from wgf.run import certify, self_check, summary
from wgf.run.build import Experiment, build
from wgf.run.callbacks.base import Callback, Callbacks, Outcome, Run
from wgf.run.callbacks.checkpoint import Checkpoint, latest
from wgf.run.callbacks.figures import Figures
from wgf.run.callbacks.history import History
from wgf.run.callbacks.progress import Progress, Stopwatch
from wgf.run.data_files import check_unchanged, digests, located
from wgf.run.metrics import Metrics, measure
from wgf.run.provenance import circumstances, now, provenance, resumed
from wgf.run.recorder import BOUND, Recorder
from wgf.run.signals import Signals
from wgf.saved_maps import SavedMaps
from wgf.settings import resume
from wgf.tables.of_flow import maps

log = logging.getLogger("wgf")

ALIKE = 1.6  # largest ratio of errors of a potential energy that have one cause
FELT = 1e-3  # what moves the law by less than this share of its width may be passed over


def main(cfg: DictConfig, folder: Path, since: float | None = None) -> int:
    """Run a config, or resume the run in `cfg.resume`, in a folder that the caller has claimed, and print the table.

    Args:
        cfg: the config, checked.
        folder: of the run.
        since: when the process began, by `time.monotonic`; now by default.

    Returns:
        The exit status: 0 for a completed run or a run that ended as `expect` says; 128 + n after signal n; 1 for a
        failed run, or if a file could not be written.
    """
    resuming = cfg.resume is not None
    cfg = OmegaConf.merge(cfg, {"resume": None})  # type: ignore[assignment]
    experiment = build(cfg)
    clock = Stopwatch(monotonic() if since is None else since)
    with Signals() as signals:
        result = _run(experiment, cfg, folder, resuming, signals, [Progress(), clock])
    summary.show(result, folder, clock.seconds, experiment.logger.look())
    if signals.received is not None:
        return 128 + signals.received
    return 0 if (Status[result.status].is_success or result.status == cfg.expect) and result.unsaved is None else 1


def run(
    experiment: Experiment,
    cfg: DictConfig,
    folder: Path,
    resuming: bool = False,
    bar: bool = True,
    outer: Signals | None = None,
) -> Result:
    """Run an experiment and write its files to `folder`.

    Args:
        experiment: the experiment built from the config.
        cfg: the config, checked.
        folder: folder of the run; made if it does not exist.
        resuming: whether to resume the run in this folder from its last checkpoint.
        bar: whether to show a progress bar on a terminal.
        outer: the signals of the code that calls.

    Returns:
        The content of result.json; `unsaved` lists the files that could not be written.

    Raises:
        ConfigError: another process works in this folder, or the run cannot resume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder), Signals(outer) as signals:
        return _run(experiment, cfg, folder, resuming, signals, [Progress()] if bar else [])


def _run(
    experiment: Experiment, cfg: DictConfig, folder: Path, resuming: bool, signals: Signals, first: list[Callback]
) -> Result:
    problem, theta = experiment.problem, experiment.theta
    cfg = located(cfg)
    text = resume.text_of(cfg)
    data = digests(cfg)
    origin = provenance(theta.device, int(cfg.seed)) | ({"data": data} if data else {})
    past = _past(folder, cfg, text, theta.device) if resuming else None
    experiment = experiment.confirmed(past)
    theta = experiment.theta
    if past is not None:
        origin = resumed(folder / "provenance.json", origin, past["step"], past["clock"]["t"])
    write(folder / "config.yaml", text.encode())
    _write_json(folder / "provenance.json", origin, durable=False)
    log.info("%s, t_end = %g, %d parameters", problem.equation, problem.t_end, theta.numel())
    metrics = Metrics(problem, experiment.map, experiment.exact, experiment.observed)
    rows = experiment.record == "steps"
    columns = [*metrics.row(Clock(), State(theta, experiment.projection(theta))), BOUND] if rows else []
    bound = certify.recorder(experiment, past)
    history, figures = [History()] if rows else [], [Figures()] if experiment.figures else []
    with closing(Callbacks([*first, *history, Checkpoint(), experiment.logger, *figures])) as callbacks:
        checkpointed: dict[str, Any] = {"config": text, "circumstances": circumstances(theta.device), "data": data}
        checkpointed |= {"confirmation": experiment.confirmation}
        recorder = Recorder(metrics, callbacks, signals, checkpointed, past, bound, rows)
        about = Run(
            folder,
            problem.equation,
            problem.t_end,
            columns,
            text,
            origin,
            recorder.rows,
            recorder.last_row,
            experiment.figures,
        )
        with signals.held():
            callbacks.start(about)
            callbacks.phase("flow")
            recorder.begin()
            end = _advance(experiment, recorder, past)
            if end.status is Status.interrupted and signals.received is not None:
                end.detail = SignalName(signals.received).name
            recorder.close(end)
            seconds = recorder.seconds
            flow = Flow(
                experiment.projection,
                experiment.integrator,
                recorder.saved,
                end.status,
                end.clock,
                end.detail,
                experiment.reference,
                observed=experiment.observed,
            )
            result, shown = _measure(flow, end, seconds, experiment, bound, signals, callbacks)
            faults, known = list(callbacks.dropped), len(callbacks.dropped)
            if shown is not None:
                _attempt(faults, lambda: shown.save(folder / "solution.npz"))
            _attempt(faults, lambda: _write_json(folder / "provenance.json", origin | {"end": now()}, durable=False))
            _attempt(faults, lambda: _write_json(folder / "result.json", _with(result, faults).as_dict()))
            result = _with(result, faults)
        try:
            callbacks.phase("figures")
            rows_at_end = certify.late(shown, bound) if rows else []
            callbacks.finish(about, Outcome(end.status, result, shown, rows_at_end))
        except KeyboardInterrupt:
            log.warning("interrupted while drawing the figures: all other files are saved")
        if late := callbacks.dropped[known:]:
            faults += late
            result = _with(result, faults)
            _attempt(faults, lambda: _write_json(folder / "result.json", result.as_dict()))
    if not end.status.is_success:
        log.warning("%s at t = %g: %s", end.status, end.clock.t, result.message)
    if end.status.can_resume:
        log.warning("to continue the run, use resume=%s", shlex.quote(str(folder)))
    return result


def _advance(experiment: Experiment, recorder: Recorder, past: dict[str, Any] | None) -> End:
    """Run the time loop, from the start or from a checkpoint."""
    start = experiment.theta
    if past is None:
        return experiment.run(start, recorder)
    theta, clock = past["theta"].to(start.device), Clock(**past["clock"])
    projection = experiment.at(past["breakpoints"].to(start.device))
    if "status" in past:  # the loop had ended, but not all files were written
        return End(Status[past["status"]], clock, State(theta, projection(theta)), past["detail"])
    return experiment.run(theta, recorder, clock, projection)


def _measure(
    flow: Flow,
    end: End,
    seconds: float,
    experiment: Experiment,
    bound: OwnBound | None,
    signals: Signals,
    callbacks: Callback,
) -> tuple[Result, SavedMaps | None]:
    """Compute the result of a flow and its maps at the saved times.

    A completed run has error bounds (a signal cuts a richer run short) and all doubts, another one those about its end.
    """
    callbacks.phase("reference")
    with suppress(KeyboardInterrupt), signals.heard():
        _ = flow.reference_solution  # the flow keeps it
    callbacks.phase("errors")
    result = measure(flow, end.state, seconds)
    every = experiment.record == "steps"
    known = flow.reference_solution if every else None
    shown = maps(flow.problem, flow.saved, known) if flow.saved.times else None
    if not end.status.is_success:
        return replace(result, doubts="; ".join(self_check.ended(result)) or None), shown
    callbacks.phase("certificate")
    rich, missed = experiment.certificate == "rich", unseen(flow.projection, flow.saved)
    result, bounds = certify.certified(flow, result, bound, rich, signals, missed, every)
    rounding = 1e3 * torch.finfo(end.state.theta.dtype).eps * math.sqrt(max(result.second_moment, 0.0))  # length
    shortened = experiment.integrator.shortened(experiment.stops)
    change = math.inf if experiment.integrator.adaptive else flow.problem.pace(FELT).shortest
    passed = (end.clock.dt, change) if end.clock.dt > change else None
    hidden = None if (missed or 0.0) > ENERGY and _is_coarse(flow) else missed
    signs = shortened, hidden, passed, self_check.unfelt(flow)
    sampled = flow.projection.quadrature.noise > 0
    result = replace(result, doubts=self_check.doubts(result, shown, rounding, end.clock, *signs, sampled))
    return result, shown and replace(shown, w2_bound=bounds)


def _is_coarse(flow: Flow) -> bool:
    """Whether the quadrature is too coarse for the potential as a whole, where it has missed some of its energy: then
    cells cut in two and in three show the same error, which is what was missed. Of a needle they see what they hit."""
    problem, found = flow.problem, list[bool]()
    k = [term.name for term in problem.terms].index(problem.potential.name)
    for number in (0, len(flow.saved.times) - 1):
        missed, share = missed_at(flow.projection, flow.saved, number)
        if share > ENERGY:
            map, theta = flow.saved[number]
            terms = problem.at(flow.saved.times[number]).terms
            errors = QuadratureOfEnergies(terms, map, flow.projection.quadrature, theta).changes()[:, k].tolist()
            sizes = [missed, *(abs(error) for error in errors)]
            found.append(math.prod(errors) > 0 and max(sizes) < ALIKE * min(sizes))
    return bool(found) and all(found)


def _attempt(faults: list[str], write: Callable[[], None]) -> None:
    """Write a file; on failure add it to `faults` and go on."""
    try:
        write()
    except OSError as error:
        faults.append(f"{Path(error.filename or '').name}: {error.strerror}")
        log.error("not saved: %s", error)


def _with(result: Result, faults: list[str]) -> Result:
    """Result with the list of files that could not be written."""
    return replace(result, unsaved="; ".join(faults)) if faults else result


def _write_json(path: Path, content: dict[str, Any], durable: bool = True) -> None:
    write(path, (json.dumps(finite(content), indent=2, allow_nan=False) + os.linesep).encode(), durable)


def _past(folder: Path, cfg: DictConfig, text: str, device: torch.device) -> dict[str, Any] | None:
    """Checkpoint from which to resume, None if the run stopped before its first one; also removes unfinished files.

    Raises:
        ConfigError: no checkpoint is readable, or it does not fit the config.
    """
    state = latest(folder)
    if state is not None:
        resume.compare(folder, state, text, circumstances(device))
        check_unchanged(folder, state, cfg)
        log.info("resuming from step %d, t = %g", state["step"], state["clock"]["t"])
    for path in folder.rglob(PART):
        path.unlink(missing_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    return state
