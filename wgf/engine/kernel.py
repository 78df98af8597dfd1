"""The machine code of flows: Rosenbrock steps from stop to stop.

The arithmetic is that of `wgf.integrators.implicit.Rodas4` and the decisions are those of
`wgf.integrators.time_loop.evolve`; the tests compare both.
"""

from __future__ import annotations

import math

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
    workspace,
)
from wgf.engine.landscape import gradient, hessian, judge
from wgf.engine.linear import multiply, solve, velocity
from wgf.engine.program import compiled, entry

COMPLETED, PAUSED, BLOW_UP, MAX_STEPS, STUCK = range(5)
SOUND, FOLDED, NOT_FINITE, NOT_SOLVED, ENERGY_RISE, CONCAVE, INACCURATE = range(7)
SAFETY, SHRINK, GROW, COLLAPSE = 0.9, 0.2, 5.0, 1e-3
TINY = 2.2250738585072014e-308
REPORT = 5  # numbers of a report before the energies


@compiled
def factor_of_step(error, previous):
    error = max(error, 1e-10)
    if error > 1.0:
        f = SAFETY * error ** (-1.0 / 4.0)
    else:
        f = SAFETY * error ** (-0.7 / 4.0) * max(previous, 1e-4) ** (0.4 / 4.0)
    return min(GROW, max(SHRINK, f))


@entry
def advance(c, goals, saved, mesh, energy, method, parameters, times, counts, report, most, single):
    """Steps of several flows on one mesh, each from its coordinates through all goals, or until something ends it.

    Args:
        c: coordinates [b, M + K], updated.
        goals: times of the stops [s]; a flow continues with the goal number counts[3].
        saved: coordinates at the goals met [b, s, M + K]; empty to keep none.
        parameters: parameters of the energy [b, p].
        times: t, dt, next_dt, error and dissipated of the clocks, updated, and the standard deviations of the initial
            laws (length) [b, 6].
        counts: steps, rejected, evaluations and target of the clocks, updated, and whether the law can collapse [b, 5].
        report: how a flow ended, energy, smallest slope, why the last attempt failed, its length, and the energies
            [b, REPORT + terms].
        most: largest number of attempts of a flow in this call.
        single: whether to return after every accepted step.
    """
    work = workspace(mesh, energy)
    v, size, k = work.vectors, c.shape[1], mesh.taps
    new = v[NEW]
    rounding = 64 * 2.220446049250313e-16
    for flow in range(len(c)):
        begin(mesh, energy, parameters[flow], work)
        copy(c[flow], new)
        end, attempts, opening = -1, 0, True
        now = scale = slope = lost = trial = length = 0.0  # lost: energy dissipated in a step
        lands = False
        while end == -1:
            # the field at the new coordinates; in the first turn these are the old ones
            then, then_scale, square, then_slope = judge(new, mesh, energy, work)
            gradient(new, mesh, energy, work, v[SLOPE])
            velocity(mesh, v[SLOPE], v[SPEED])
            if not opening:
                fault = SOUND
                error = length / max(method.atol * times[flow, 5] + method.rtol * math.sqrt(square), TINY)
                if length < 0.0:
                    fault, error = CONCAVE, 0.0
                elif then_slope <= 0:
                    fault = FOLDED
                elif not (math.isfinite(then) and math.isfinite(then_slope) and math.isfinite(total(new))):
                    fault = NOT_FINITE
                elif not (math.isfinite(total(v[SPEED])) and math.isfinite(error)):
                    fault = NOT_SOLVED
                elif then > now + rounding * (1 + max(scale, then_scale)):
                    fault = ENERGY_RISE
                accepted = fault == SOUND and error <= 1.0
                attempts += 1
                if accepted:
                    dt = times[flow, 2]
                    grown = trial * factor_of_step(error, times[flow, 3])
                    times[flow, 4] += lost
                    counts[flow, 0] += 1
                    times[flow, 0] = goals[counts[flow, 3]] if lands else times[flow, 0] + trial
                    times[flow, 2] = max(dt, grown) if trial < dt else grown
                    times[flow, 1], times[flow, 3] = trial, error
                else:
                    counts[flow, 1] += 1
                    times[flow, 2] = 0.25 * trial if fault != SOUND else trial * factor_of_step(error, 1.0)
                    report[flow, 3], report[flow, 4] = (fault if fault != SOUND else INACCURATE), trial
            if opening or accepted:
                now, scale, slope = then, then_scale, then_slope
                copy(new, c[flow])
                copy(v[SLOPE], v[GRADIENT])
                report[flow, 1], report[flow, 2] = now, slope
                copy(work.terms, report[flow, REPORT:])
                if not opening and lands:
                    stop = counts[flow, 3]
                    if len(saved) > 0:
                        copy(c[flow], saved[flow, stop])
                    counts[flow, 3] += 1
                if counts[flow, 4] != 0 and slope < COLLAPSE:
                    end = BLOW_UP
                elif counts[flow, 3] == len(goals):
                    end = COMPLETED
                elif single and not opening:
                    end = PAUSED
            elif times[flow, 2] < method.dt_min:
                end = STUCK
            if end == -1 and counts[flow, 0] + counts[flow, 1] >= method.max_steps:
                end = MAX_STEPS
            if end == -1 and attempts >= most:
                end = PAUSED
            if end != -1:
                break
            opening = False
            t, dt, goal = times[flow, 0], times[flow, 2], goals[counts[flow, 3]]
            lands = t + dt * (1 + 1e-9) >= goal
            trial = goal - t if lands else dt
            if not lands and t + 2 * dt > goal:
                trial = 0.5 * (goal - t)
            copy(c[flow], new)
            if not hessian(new, mesh, energy, work, 1.0 / (method.gamma * trial)):
                length = -1.0
                continue
            counts[flow, 2] += 6
            lost = 0.0
            for s in range(6):
                copy(c[flow], new)
                clear(v[PULL])
                for r in range(s):
                    a, b = method.tableau[0, s, r], method.tableau[1, s, r] / trial
                    for i in range(size):
                        new[i] += a * v[STAGES + r, i]
                        v[PULL, i] += b * v[STAGES + r, i]
                if s == 0:
                    copy(v[GRADIENT], v[SLOPE])
                else:
                    gradient(new, mesh, energy, work, v[SLOPE])
                multiply(mesh, v[PULL], v[IMAGE])
                for i in range(size - k):
                    v[STAGES + s, i] = v[IMAGE, i] - v[SLOPE, i]
                clear(v[STAGES + s][size - k :])
                solve(mesh, energy, work, v[STAGES + s])
                if method.weights[s] == 0.0:
                    continue
                # the same method for E' = D(c), see `Rodas4.step`
                rate = velocity(mesh, v[SLOPE], v[START if s == 0 else SPEED])
                for i in range(size - k):
                    drift = v[PULL, i] - v[STAGES + s, i] / (method.gamma * trial)
                    rate += 2 * (v[GRADIENT, i] * drift - v[START, i] * v[SLOPE, i])
                lost += trial * method.weights[s] * rate
            multiply(mesh, v[STAGES + 5], v[IMAGE])
            length = 0.0
            for i in range(size):
                new[i] += v[STAGES + 5, i]
                length += v[STAGES + 5, i] * v[IMAGE, i]
            length = math.sqrt(length)
        report[flow, 0] = end
