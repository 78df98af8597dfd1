"""An ensemble in torch: the steps of `wgf.engine.kernel.advance` for many flows at once, each with its own step sizes.

Each flow has a lane; when it ends, the next one takes the lane. On CUDA, a graph holds one turn of all lanes, so that
the device does not wait for Python. The last dimension of every tensor is that of the flows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from wgf.engine.kernel import (
    BLOW_UP,
    COLLAPSE,
    COMPLETED,
    CONCAVE,
    ENERGY_RISE,
    FOLDED,
    GROW,
    INACCURATE,
    MAX_STEPS,
    NOT_FINITE,
    NOT_SOLVED,
    SAFETY,
    SHRINK,
    SOUND,
    STUCK,
    TINY,
)
from wgf.ensembles.batched.landscape import Judged, Known, Landscape
from wgf.ensembles.batched.step import Step
from wgf.ensembles.job import Accepted, Ends, Job, path_of
from wgf.errors import ConfigError

LANES = 2**16  # most flows at once
MOST = 512  # coordinates of a map, so that products with dense matrices pay
HALF = 16  # bytes of memory for each number that the lanes may use
RUNS = -1  # end of a flow that has not ended
FREE = -1  # number of the flow in a lane without one


@dataclass
class Flows:
    """Flows between two attempts.

    Attributes:
        c, new: coordinates, and those at the end of the last attempt [M, B].
        gradient: of the energy at c [M, B].
        saved: coordinates at the goals met [s, M, B].
        parameters: of the energy [p, B].
        std: of the initial law. rounding: see `Job`. collapses: whether the law can collapse.
        t, next_dt, error: time, next step, error of the last one.
        steps, rejected, target: accepted and rejected attempts, number of the next goal.
        now, size: energy at c, and the largest sum of the sizes of its terms so far.
        slope: smallest slope of the last accepted map. fault: why the last failed attempt failed.
        trial, lands: length of the attempt, and whether it ends at a goal.
        length: of the error estimate; -1 where the matrix was not positive definite.
        opening: whether there was no attempt yet.
        end: how a flow ended, or RUNS.
    """

    c: Tensor
    new: Tensor
    gradient: Tensor
    saved: Tensor
    parameters: Tensor
    std: Tensor
    rounding: Tensor
    collapses: Tensor
    t: Tensor
    next_dt: Tensor
    error: Tensor
    steps: Tensor
    rejected: Tensor
    target: Tensor
    now: Tensor
    size: Tensor
    slope: Tensor
    fault: Tensor
    trial: Tensor
    lands: Tensor
    length: Tensor
    opening: Tensor
    end: Tensor

    @classmethod
    def of(cls, job: Job, m: int, device: torch.device) -> Flows:
        """The flows of a job at t = 0."""

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        c, n = tensor(job.c[:, :m].T), len(job.c)
        zeros, counts = c.new_zeros(n), torch.zeros(n, dtype=torch.int64, device=device)
        flags = torch.zeros(n, dtype=torch.bool, device=device)
        numbers = dict.fromkeys(("t", "now", "slope", "length"), zeros)
        flows = cls(
            c=c,
            new=c,
            gradient=torch.zeros_like(c),
            saved=c.new_full((len(job.goals), m, n), torch.nan),
            parameters=tensor(job.parameters.T),
            std=tensor(job.std),
            rounding=tensor(job.rounding),
            size=tensor(job.least_size),
            collapses=tensor(job.collapses),
            next_dt=zeros + job.first_dt,
            error=zeros + 1.0,
            trial=zeros + 1.0,
            lands=flags,
            opening=~flags,
            end=counts + RUNS,
            **numbers,
            **dict.fromkeys(("steps", "rejected", "target", "fault"), counts),
        )
        return cls(*(tensor.clone() for tensor in flows.tensors()))

    def tensors(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]

    def columns(self, at: Tensor) -> Flows:
        """Copy of some flows."""
        return Flows(*(tensor[..., at].contiguous() for tensor in self.tensors()))

    def put(self, at: Tensor, of: Flows, which: Tensor) -> None:
        """Copy some flows of others into places of these."""
        for to, tensor in zip(self.tensors(), of.tensors(), strict=True):
            to[..., at] = tensor[..., which]

    def become(self, **values: Tensor) -> None:
        """Take new values in the place of the old ones."""
        for name, value in values.items():
            getattr(self, name).copy_(value)


class Turn:
    """The decision about the last attempt of each lane, then the next attempt.

    Args:
        job: what the flows share.
        landscape: its energy.
        device: where the tensors are.
    """

    def __init__(self, job: Job, landscape: Landscape, device: torch.device) -> None:
        self._landscape, self._method, self._step = landscape, job.method, Step(landscape, job.method)
        self._least = job.least_dt
        self._goals = torch.tensor([*job.goals, torch.inf], dtype=torch.float64, device=device)

    def __call__(self, f: Flows) -> None:
        landscape = self._landscape
        known, at = landscape.known(f.parameters), landscape.at_nodes(f.new)
        self._settle(f, landscape.judge(at, known), landscape.gradient(at, known))
        self._attempt(f, known)

    def _settle(self, f: Flows, judged: Judged, gradient: Tensor) -> None:
        """Accept or reject the last attempts, end flows, and choose the next attempts; as the functions of the same
        names in `wgf.engine.kernel`."""
        method = self._method
        tolerated = method.atol * f.std + method.rtol * judged.variance.sqrt()
        error = f.length / tolerated.clamp(min=TINY)
        fault = _fault(f, judged, gradient, error)
        runs = f.end == RUNS
        accepted = runs & ~f.opening & (fault == SOUND) & (error <= 1)
        rejected = runs & ~f.opening & ~accepted
        taken = runs & (accepted | f.opening)

        trial, dt = f.trial, f.next_dt
        grown = trial * _factor(error, f.error)
        longer = torch.where(trial < dt, torch.maximum(dt, grown), grown)
        shorter = trial * torch.where(fault == SOUND, _factor(error, torch.ones_like(error)), 0.25)
        dt = torch.where(accepted, longer, torch.where(rejected, shorter, dt))
        lands = accepted & f.lands
        t = torch.where(lands, self._goals[f.target], torch.where(accepted, f.t + trial, f.t))
        steps, failed, target = f.steps + accepted, f.rejected + rejected, f.target + lands
        place = f.target.clamp(max=len(f.saved) - 1).expand(1, *f.c.shape)
        f.saved.scatter_(0, place, torch.where(lands, f.new, f.saved.gather(0, place)))

        end = torch.where(steps + failed >= method.max_steps, MAX_STEPS, RUNS)
        end = torch.where(rejected & (dt < self._least), STUCK, end)
        end = torch.where(taken & (target == len(f.saved)), COMPLETED, end)
        end = torch.where(taken & f.collapses & (judged.slope < COLLAPSE), BLOW_UP, end)
        goal = self._goals[target]
        near = t + dt * (1 + 1e-9) >= goal
        rest = goal - t
        f.become(
            c=torch.where(taken, f.new, f.c),
            gradient=torch.where(taken, gradient, f.gradient),
            t=t,
            next_dt=dt,
            error=torch.where(accepted, error, f.error),
            steps=steps,
            rejected=failed,
            target=target,
            now=torch.where(taken, judged.energy, f.now),
            size=torch.where(taken, torch.maximum(f.size, judged.size), f.size),
            slope=torch.where(taken, judged.slope, f.slope),
            fault=torch.where(rejected, torch.where(fault == SOUND, INACCURATE, fault), f.fault),
            trial=torch.where(near, rest, torch.where(t + 2 * dt > goal, 0.5 * rest, dt)),
            lands=near,
            opening=f.opening & ~runs,
            end=torch.where(runs, end, f.end),
        )

    def _attempt(self, f: Flows, known: Known) -> None:
        """One step of each lane."""
        at = self._landscape.at_nodes(f.c)
        stepped = self._step(f.c, at, f.gradient, known, f.trial)
        length = (stepped.error * (self._landscape.mass @ stepped.error)).sum(0).sqrt()
        f.become(new=stepped.new, length=torch.where(stepped.positive, length, -1.0))


def _fault(f: Flows, judged: Judged, gradient: Tensor, error: Tensor) -> Tensor:
    """What is wrong with the ends of the attempts."""
    energy, size, _, slope = judged
    rises = energy > f.now + f.rounding * torch.maximum(f.size, size)
    fault = torch.where(rises, ENERGY_RISE, SOUND)
    fault = torch.where(gradient.sum(0).isfinite() & error.isfinite(), fault, NOT_SOLVED)
    fault = torch.where(energy.isfinite() & slope.isfinite() & f.new.sum(0).isfinite(), fault, NOT_FINITE)
    fault = torch.where(slope <= 0, FOLDED, fault)
    return torch.where(f.length < 0, CONCAVE, fault)


def _factor(error: Tensor, previous: Tensor) -> Tensor:
    """Factors of the step."""
    error = error.clamp(min=1e-10)
    smooth = error ** (-0.7 / 4) * previous.clamp(min=1e-4) ** (0.4 / 4)
    return (SAFETY * torch.where(error > 1, error ** (-1 / 4), smooth)).clamp(SHRINK, GROW)


def compute(job: Job, device: torch.device) -> Ends:
    """The flows of a job on a device.

    Raises:
        ConfigError: the maps have too many coordinates.
    """
    if (m := job.mesh.size) > MOST:
        raise ConfigError(
            f"an ensemble with device={device} holds maps of at most {MOST} coordinates, not {m}: reduce the width "
            "of the network, or use device=cpu"
        )
    with torch.no_grad(), torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        landscape = Landscape(job.mesh, job.energy, device)
        flows, n = Flows.of(job, m, device), len(job.c)
        width = min(n, LANES)
        if device.type == "cuda":
            width = max(1, min(width, torch.cuda.mem_get_info()[0] // (HALF * landscape.entries())))
        turn = Turn(job, landscape, device)
        number = torch.arange(width, device=device)
        lanes, following, ended = flows.columns(number), width, 0
        accepted: list[Accepted] = []
        advance = repeated(lambda: turn(lanes), device)
        while ended < n:
            steps, trial = (lanes.steps.clone(), lanes.trial.clone()) if job.records else (lanes.steps, lanes.trial)
            advance()
            if job.records:
                at = (lanes.steps > steps).nonzero()[:, 0]
                accepted.append(Accepted(number[at], steps[at], lanes.t[at], trial[at], lanes.c[:, at].T))
            done = ((lanes.end != RUNS) & (number != FREE)).nonzero()[:, 0]
            flows.put(number[done], lanes, done)
            fresh = torch.arange(following, min(n, following + len(done)), device=device)
            lanes.put(done[: len(fresh)], flows, fresh)
            number[done] = FREE
            number[done[: len(fresh)]] = fresh
            following, ended = following + len(fresh), ended + len(done)
        found = flows.end, flows.fault, flows.slope, flows.steps, flows.rejected, flows.t
        saved, ends = flows.saved.permute(2, 0, 1).cpu().numpy(), (tensor.cpu().numpy() for tensor in found)
        return Ends(saved, *ends, path=path_of(accepted, job.c[:, :m], flows.steps) if job.records else None)


def repeated(turn: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A turn; on CUDA as a graph, which is recorded after a first turn."""
    if device.type != "cuda":
        return turn
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        turn()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        turn()
    return graph.replay
