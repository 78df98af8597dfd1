"""The machine code of flows: Rosenbrock steps from stop to stop.

The arithmetic is that of `wgf.integrators.implicit.Rodas4` and the decisions are those of
`wgf.integrators.time_loop.evolve`; the tests compare both.
"""

from __future__ import annotations

import math

import numpy as np

from wgf.engine.arrays import (
    GRADIENT,
    IMAGE,
    NEW,
    PULL,
    SLOPE,
    SPEED,
    STAGES,
    START,
    begin,
    clear,
    copy,
    total,
)
from wgf.engine.landscape import field, hessian
from wgf.engine.linear import multiply, solve
from wgf.engine.llvm.vectors import WIDTH, fill, load, store
from wgf.engine.machine_code import compiled, entry
from wgf.integrators.controller import GROW, SAFETY, SHRINK
from wgf.integrators.time_loop import COLLAPSE

COMPLETED, PAUSED, BLOW_UP, MAX_STEPS, STUCK, REFUSED, FOLDS = range(7)
SOUND, FOLDED, NOT_FINITE, NOT_SOLVED, ENERGY_RISE, CONCAVE, INACCURATE = range(7)
EVER = 2**62  # folds in a row: none ends a call
TINY = 2.2250738585072014e-308
NO, YES = np.array([False, True])  # numba makes a copy of a function for each value of Python
REPORT = 5  # numbers of a report before the energies


@compiled
def larger(x, y):
    """The larger number; x where one is not a number, as `max`."""
    return y if y > x else x


@compiled
def factor_of_step(error, previous):
    error = larger(error, 1e-10)
    if error > 1.0:
        f = SAFETY * error ** (-1.0 / 4.0)
    else:
        f = SAFETY * error ** (-0.7 / 4.0) * larger(previous, 1e-4) ** (0.4 / 4.0)
    return GROW if f > GROW else larger(SHRINK, f)


@compiled
def fault_of(length, now, then, size, share, slope, finite):
    """What is wrong with the end of an attempt; the order of the questions is that of `time_loop`.

    Args:
        length: of the error estimate; negative where the matrix was not positive definite.
        now, then: energies. size: largest size of the energy so far, of which it may rise by a share.
        slope: the smallest one. finite: whether the coordinates are, and whether the velocity and the error are.
    """
    if length < 0.0:
        return CONCAVE
    if slope <= 0:
        return FOLDED
    if not (math.isfinite(then) and math.isfinite(slope) and finite[0]):
        return NOT_FINITE
    if not finite[1]:
        return NOT_SOLVED
    return ENERGY_RISE if then > now + share * size else SOUND


@compiled
def settle(fault, error, trial, lands, goals, times, counts, report):
    """Move the clocks of a flow after an attempt; whether the step is accepted."""
    if fault == SOUND and error <= 1.0:
        dt = times[2]
        grown = trial * factor_of_step(error, times[3])
        counts[0] += 1
        times[0] = goals[counts[3]] if lands else times[0] + trial
        times[2] = larger(dt, grown) if trial < dt else grown
        times[1], times[3] = trial, error
        counts[5] = 0
        return True
    counts[1] += 1
    counts[5] = counts[5] + 1 if fault == FOLDED else 0
    times[2] = 0.25 * trial if fault != SOUND else trial * factor_of_step(error, 1.0)
    report[3], report[4] = (fault if fault != SOUND else INACCURATE), trial
    return False


@compiled
def end_of(accepted, slope, method, goals, times, counts):
    """How a flow ended, or -1. `accepted`: whether it has new coordinates, also at the start."""
    if accepted:
        if counts[4] != 0 and slope < COLLAPSE * times[7]:
            return BLOW_UP
        if counts[3] == len(goals):
            return COMPLETED
    elif times[2] < times[9]:
        return STUCK
    elif counts[5] >= counts[6]:
        return FOLDS
    return MAX_STEPS if counts[0] + counts[1] >= method.max_steps else -1


@compiled
def aim(goals, times, counts):
    """Length of the next attempt, and whether it ends at the next goal."""
    t, dt, goal = times[0], times[2], goals[counts[3]]
    lands = t + dt * (1 + 1e-9) >= goal
    if lands:
        return goal - t, True
    return (0.5 * (goal - t) if t + 2 * dt > goal else dt), False


@compiled
def combine(c, v, tableau, s, h):
    """Where stage s looks, and its pull, from the stages before it."""
    for i in range(0, len(c) - WIDTH, WIDTH):
        new, pull = load(c, i), fill(0.0)
        for r in range(s):
            stage = load(v[STAGES + r], i)
            new += fill(tableau[0, s, r]) * stage
            pull += fill(tableau[1, s, r]) * stage
        store(v[NEW], i, new)
        store(v[PULL], i, fill(1.0 / h) * pull)


@compiled
def rate(v, pivots, s, h):
    """E' = D of stage s by the same method, see `Rodas4.step`; START and SPEED hold L^-1 times gradients, for the
    factors L D^-1 L^T of the mass matrix and the pivots D."""
    start, speed, found = v[START], v[START if s == 0 else SPEED], 0.0
    for i in range(len(start)):
        drift = v[PULL, i] - v[STAGES + s, i] / h
        found += pivots[i] * speed[i] * (speed[i] - 2 * start[i]) + 2 * v[GRADIENT, i] * drift
    return found


@entry
def advance(c, goals, saved, path, mesh, energy, method, parameters, times, counts, report, work, most, single):
    """Steps of several flows on one mesh, each from its coordinates through all goals, or until something ends it.

    Args:
        c: coordinates [b, M + WIDTH], updated.
        goals: times of the stops [s]; a flow continues with the goal number counts[3].
        saved: coordinates at the goals met [b, s, M + WIDTH]; empty to keep none.
        path: coordinates after every accepted step, and its length [b, most, M + WIDTH + 1]; empty to keep none.
        parameters: parameters of the energy [b, p].
        times: t, dt, next_dt, error, dissipated and size of the clocks, updated, the standard deviations of the initial
            laws (length), the smallest slopes at t = 0, the shares of its size by which rounding can raise the energy,
            and the shortest steps [b, 10].
        counts: steps, rejected, evaluations and target of the clocks, updated, whether the law can collapse, the folds
            in a row, updated, and how many end the call [b, 7].
        report: how a flow ended, energy, smallest slope, why the last attempt failed, its length, and the energies
            [b, REPORT + terms].
        work: arrays for these flows, see `wgf.engine.arrays.workspace`.
        most: largest number of attempts of a flow in this call.
        single: whether to return after every accepted step.
    """
    pair = energy.pair
    v, size = work.vectors, c.shape[1]
    new = v[NEW]
    for flow in range(len(c)):
        begin(mesh, energy, pair, parameters[flow], work)
        copy(c[flow], new)
        end, attempts, opening, taken = -1, 0, True, counts[flow, 0]
        now = slope = lost = trial = length = 0.0  # lost: energy dissipated in a step
        lands = not opening
        while end == -1:
            # the field at the new coordinates; in the first turn these are the old ones
            then, then_scale, square, then_slope = field(new, mesh, energy, pair, work, v[SLOPE], YES)
            accepted = opening
            if not opening:
                error = length / larger(method.atol * times[flow, 6] + method.rtol * math.sqrt(square), TINY)
                finite = math.isfinite(total(new)), math.isfinite(total(v[SLOPE])) and math.isfinite(error)
                largest = larger(times[flow, 5], then_scale)
                fault = fault_of(length, now, then, largest, times[flow, 8], then_slope, finite)
                accepted = settle(fault, error, trial, lands, goals, times[flow], counts[flow], report[flow])
                attempts += 1
            if accepted:
                now, slope, times[flow, 5] = then, then_slope, larger(times[flow, 5], then_scale)
                copy(new, c[flow])
                copy(v[SLOPE], v[GRADIENT])
                report[flow, 1], report[flow, 2] = now, slope
                copy(work.terms, report[flow, REPORT:])
                times[flow, 4] += lost
                if len(path) > 0 and not opening:
                    row = path[flow, counts[flow, 0] - taken - 1]
                    copy(new, row)
                    row[size] = trial
                if lands:
                    if len(saved) > 0:
                        copy(c[flow], saved[flow, counts[flow, 3]])
                    counts[flow, 3] += 1
            end = end_of(accepted, slope, method, goals, times[flow], counts[flow])
            if opening and not (slope > 0.0 and math.isfinite(now) and math.isfinite(total(new))):
                end, report[flow, 3] = REFUSED, FOLDED if slope <= 0.0 else NOT_FINITE
            if end == -1 and (attempts >= most or (single and accepted and not opening)):
                end = PAUSED
            if end != -1:
                break
            opening = False
            trial, lands = aim(goals, times[flow], counts[flow])
            copy(c[flow], new)
            if not hessian(new, mesh, energy, pair, work, accepted, 1.0 / (method.gamma * trial)):
                length = -1.0
                continue
            counts[flow, 2] += 6
            lost = 0.0
            for s in range(6):
                combine(c[flow], v, method.tableau, s, trial)
                if s == 0:
                    copy(v[GRADIENT], v[SLOPE])
                    clear(v[IMAGE])
                else:
                    field(new, mesh, energy, pair, work, v[SLOPE], NO)
                    multiply(mesh.mass, v[PULL], v[IMAGE])
                solve(mesh, pair, work, v[IMAGE], v[SLOPE], v[STAGES + s], v[START if s == 0 else SPEED])
                if method.weights[s] != 0.0:
                    lost += trial * method.weights[s] * rate(v, mesh.pivots, s, method.gamma * trial)
            multiply(mesh.mass, v[STAGES + 5], v[IMAGE])
            length = 0.0
            for i in range(size):
                new[i] += v[STAGES + 5, i]
                length += v[STAGES + 5, i] * v[IMAGE, i]
            length = math.sqrt(length)
        report[flow, 0] = end
