from wgf import Adaptive
from wgf.integrators.base import State, Step


class Extrapolated(Adaptive):
    """Explicit Euler in one step of dt and in two of dt/2: twice the second less the first is of order 2."""

    order = 2

    def step(self, field, dt, state):
        whole = state.theta + dt * state.evaluation.velocity
        half = state.theta + dt / 2 * state.evaluation.velocity
        two = half + dt / 2 * field(half).velocity
        new = State(2 * two - whole, field(2 * two - whole))
        return Step(new, self.relative(two - whole, new.evaluation, field), evaluations=2)
