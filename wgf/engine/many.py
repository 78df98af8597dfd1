"""The machine code of many flows: the steps of `wgf.engine.kernel.advance`, one flow in each lane.

Each flow has its own step sizes. When one ends, the next takes its lane.
"""

from __future__ import annotations

import math

from wgf.engine.arrays import GRADIENT, IMAGE, NEW, NONE, PULL, SLOPE, SPEED, STAGES, clear, copy
from wgf.engine.kernel import REPORT, TINY, aim, end_of, fault_of, larger, settle
from wgf.engine.lanes import (
    COORDINATES,
    FORCE,
    FREE,
    LANDS,
    LEAST,
    LENGTH,
    NOW,
    OPENING,
    SHIFT,
    SIZE,
    SOUND,
    SQUARE,
    TAKEN,
    TRIAL,
    WHOLE,
    enter,
    gradient_lanes,
    hessian_lanes,
    judge_lanes,
    multiply_lanes,
    place,
    solve_lanes,
    take,
)
from wgf.engine.llvm.vectors import WIDTH
from wgf.engine.machine_code import compiled, entry

CURRENT = SPEED  # row of the vectors: coordinates of the flows


@entry
def advance_many(c, goals, saved, mesh, energy, method, parameters, times, counts, report, work):
    """Steps of several flows through all goals, or until something ends them; arguments as `wgf.engine.kernel.advance`,
    and arrays of some lanes.

    A program treats all cells at once, the energy has no pairs, and the dissipation stays 0.
    """
    v, sums, rows, flags, flows = work.vectors, work.sums, work.rows, work.flags, work.flows
    lanes = len(flows)
    opening, lands, taken, sound = flags[OPENING], flags[LANDS], flags[TAKEN], flags[SOUND]
    shift, trial, now, length = rows[SHIFT], rows[TRIAL], rows[NOW], rows[LENGTH]
    coordinates, force = rows[COORDINATES], rows[FORCE]
    following, active = NONE, NONE
    for lane in range(lanes if lanes < len(c) else len(c)):
        following, active = load(c, parameters, mesh, energy, flows, following, active, lane, opening, work)
    while active > 0:
        judge_lanes(v[NEW], mesh, energy, work)
        gradient_lanes(v[NEW], mesh, energy, work, v[SLOPE])
        totals(v[NEW], coordinates)
        totals(v[SLOPE], force)
        for lane in range(lanes):
            taken[lane] = flows[lane] != FREE
            if not taken[lane]:
                continue
            flow, then, slope, fresh = flows[lane], sums[WHOLE, lane], sums[LEAST, lane], opening[lane]
            if not fresh:
                norm = method.atol * times[flow, 6] + method.rtol * math.sqrt(sums[SQUARE, lane])
                error = length[lane] / larger(norm, TINY)
                finite = math.isfinite(coordinates[lane]), math.isfinite(force[lane]) and math.isfinite(error)
                size = larger(times[flow, 5], sums[SIZE, lane])
                fault = fault_of(length[lane], now[lane], then, size, times[flow, 8], slope, finite)
                taken[lane] = settle(
                    fault, error, trial[lane], lands[lane], goals, times[flow], counts[flow], report[flow]
                )
            opening[lane] = False
            if taken[lane]:
                now[lane], times[flow, 5] = then, larger(times[flow, 5], sums[SIZE, lane])
                report[flow, 1], report[flow, 2] = then, slope
                for k in range(len(work.terms)):
                    report[flow, REPORT + k] = work.terms[k, lane]
                if not fresh and lands[lane]:
                    take(v[NEW], lane, saved[flow, counts[flow, 3]])
                    counts[flow, 3] += 1
            end = end_of(taken[lane], slope, method, goals, times[flow], counts[flow])
            if end == -1:
                trial[lane], lands[lane] = aim(goals, times[flow], counts[flow])
                shift[lane] = 1.0 / (method.gamma * trial[lane])
                continue
            report[flow, 0] = end
            take(v[NEW] if taken[lane] else v[CURRENT], lane, c[flow])
            flows[lane], active = FREE, active - 1
        choose(taken, v[NEW], v[CURRENT])
        choose(taken, v[SLOPE], v[GRADIENT])
        attempt(mesh, energy, method, work, shift, trial, length)
        for lane in range(lanes):
            if flows[lane] != FREE:
                counts[flows[lane], 2] += 6 if sound[lane] else 0
            elif following < len(c):
                following, active = load(c, parameters, mesh, energy, flows, following, active, lane, opening, work)


@compiled
def load(c, parameters, mesh, energy, flows, following, active, lane, opening, work):
    """Put the next flow into a lane; the number of the flow after it, and how many lanes have one."""
    enter(mesh, energy, parameters[following], lane, work)
    place(c[following], lane, work.vectors[NEW])
    place(c[following], lane, work.vectors[CURRENT])
    flows[lane], opening[lane] = following, True
    return following + 1, active + 1


@compiled
def choose(taken, of, to):
    """Copy the lanes that are taken."""
    for i in range(len(of)):
        source, target = of[i], to[i]
        for lane in range(len(taken)):
            target[lane] = source[lane] if taken[lane] else target[lane]


@compiled
def totals(x, to):
    """Sum of each lane."""
    clear(to)
    for i in range(len(x)):
        row = x[i]
        for lane in range(len(to)):
            to[lane] += row[lane]


@compiled
def attempt(mesh, energy, method, work, shift, trial, length):
    """One step of the Rosenbrock method from the coordinates of each lane to new ones.

    Args:
        shift: 1/(gamma h) [L]. trial: lengths h of the attempts [L] (time).
        length: norm of the error estimate, -1 where the matrix is not positive definite [L], filled (length).
    """
    v = work.vectors
    size = v.shape[1]
    new, pull, image = v[NEW], v[PULL], v[IMAGE]
    hessian_lanes(v[CURRENT], mesh, energy, work, shift)
    for s in range(6):
        for i in range(size):
            copy(v[CURRENT, i], new[i])
            clear(pull[i])
            x, y = new[i], pull[i]
            for r in range(s):
                a, b, stage = method.tableau[0, s, r], method.tableau[1, s, r], v[STAGES + r, i]
                for lane in range(len(trial)):
                    x[lane] += a * stage[lane]
                    y[lane] += b / trial[lane] * stage[lane]
        force = v[GRADIENT]
        if s > 0:
            force = v[SLOPE]
            gradient_lanes(new, mesh, energy, work, force)
        multiply_lanes(mesh, pull, image)
        stage = v[STAGES + s]
        for i in range(size - WIDTH):
            for lane in range(len(trial)):
                stage[i, lane] = image[i, lane] - force[i, lane]
        solve_lanes(work.band, stage, size - WIDTH)
    last = v[STAGES + 5]
    multiply_lanes(mesh, last, image)
    clear(length)
    for i in range(size):
        for lane in range(len(trial)):
            new[i, lane] += last[i, lane]
            length[lane] += last[i, lane] * image[i, lane]
    for lane in range(len(trial)):
        length[lane] = math.sqrt(length[lane]) if work.flags[SOUND, lane] else -1.0
