# %% [markdown]
# # From Fokker-Planck to an energy of your own
#
# Run it as a script (`python docs/tutorial.py`) or cell by cell in an editor or Jupyter (jupytext reads this format).
# It takes a few seconds. The asserts are part of the tests.
#
# A crowd of particles has density rho(t, x), of mass one. It slides down a potential V and spreads by diffusion:
#
#     rho_t = (rho V')_x + rho_xx                                   (Fokker-Planck)
#
# wgf evolves the increasing map T instead of the density: T(t, z) is the position at time t of the particle that starts
# at z. T(t, .) is increasing, since particles on a line do not pass each other. A network represents T. The density
# follows from it, rho(t, T(t, z)) = p(z) / T'(t, z), with p the law at t = 0.

# %%
import warnings

import numpy as np
import torch
from scipy.integrate import quad
from scipy.optimize import brentq

import wgf

well = "x**4/4 - x**2/2"  # two valleys, at -1 and 1
flow = wgf.solve(wgf.FokkerPlanck(), potential=well, law=wgf.Gaussian(), t_end=0.2)
print(flow)

# %% [markdown]
# The flow has values at every time between 0 and 0.2 and at every position; the network itself computes them.

# %%
x = np.linspace(-3, 3, 301)
print("density at 0     ", flow.density(0.2, 0.0))
print("half the mass in ", flow.quantile(0.2, [0.25, 0.75]))
print("five particles   ", flow.sample(0.2, 5))
print("one that starts at 0.5:", [round(float(flow.map(t, 0.5)), 3) for t in (0.0, 0.1, 0.2)])
assert abs(np.trapezoid(flow.density(0.2, x), x) - 1) < 1e-4

# %% [markdown]
# ## How large is the error?
#
# `reference_solution` is the same solution by a closed form if one is known, else by another method. Here this method
# is finite volumes in x, which shares nothing with the network. The Wasserstein distance W1 measures how far the
# particles of two solutions are apart on average.

# %%
print(flow.reference_solution.name)
print("W1 error with 32 breakpoints:", flow.w1(flow.reference_solution))
fine = wgf.Spline(width=64, degree=5, bound=5.0, base=wgf.Gaussian())
better = wgf.solve(
    wgf.FokkerPlanck(), potential=well, network=fine, integrator=wgf.Rodas4(rtol=1e-8, atol=1e-10), t_end=0.2
)
print("W1 error with 64, degree 5:  ", better.w1(better.reference_solution))
assert flow.w1(flow.reference_solution) < 2e-5
assert better.w1(better.reference_solution) < 1e-7

# %% [markdown]
# The energy F = int V rho + int rho log rho always falls: the equation is its gradient flow, the steepest descent if W2
# measures lengths. `plot` draws a figure (also "ridgeline", "spacetime", "map", "slope", "errors").

# %%
assert (np.diff(flow.energy) < 0).all()
print("energy:", flow.energy[[0, 10, 20]], "of which entropy:", flow.terms["entropy"][[0, 10, 20]])
flow.plot()  # a notebook shows the figure; flow.plot().savefig("density.png") keeps it

# %% [markdown]
# A run that cannot reach its end time warns you. Keller-Segel particles that attract each other strongly meet in finite
# time. The warning gives the reason. The flow has no values beyond the time where it stopped.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    burst = wgf.solve(wgf.KellerSegel(chi=1.5), t_end=5.0)
print(caught[0].message)
assert burst.status is wgf.Status.blow_up

# %% [markdown]
# ## An energy of your own
#
# Let the particles exclude each other, so that the density stays below one. The entropy then counts the holes as well,
# U(rho) = rho log rho + (1 - rho) log(1 - rho), as for fermions. The flow of F = int V rho + int U(rho) is
#
#     rho_t = (rho V')_x + (rho_x / (1 - rho))_x,
#
# but wgf needs only the energy per mass e = U(rho)/rho, as a formula in x = T(z), dx = T'(z) and log p(z), where
# rho = p/dx. `barrier = True` means that e grows without bound as dx falls to 0. Automatic differentiation computes the
# rest: forces, and the banded matrices of the implicit integrator. An equation is a class that returns its energies.


# %%
class Fermi(wgf.Local):
    name, barrier = "fermi", True

    def density(self, x, dx, log_p):
        rho = torch.exp(log_p) / dx
        return torch.log(rho) + (1 / rho - 1) * torch.log1p(-rho)


class Exclusion(wgf.PDE):
    def internal(self):
        return Fermi()


bowl = wgf.potentials.Quadratic(36.0)  # V = 18 x^2, narrow: ordinary particles would crowd together
crowd = wgf.solve(Exclusion(), potential=bowl, network=fine, t_end=0.5)
print(crowd)
assert crowd.status is wgf.Status.completed

# %% [markdown]
# ## Is this correct?
#
# In equilibrium U'(rho) + V is constant. Hence rho = 1 / (1 + exp(V - mu)), the Fermi-Dirac law, with mu such that the
# mass is one. This formula is independent of wgf.


# %%
def fermi_dirac(x, mu):
    return 1 / (1 + np.exp(18 * x**2 - mu))


mu = brentq(lambda mu: quad(fermi_dirac, -2, 2, mu, epsabs=1e-13)[0] - 1, 0, 20)
x = np.linspace(-1.5, 1.5, 301)
error = np.abs(crowd.density(0.5, x) - fermi_dirac(x, mu)).max()
print("largest error of the density:", error, "peak:", crowd.density(0.5, 0.0))
assert error < 1e-5
assert crowd.density(0.5, x).max() < 1
crowd.plot("ridgeline")

# %% [markdown]
# Without exclusion the same bowl gathers the particles far more tightly. W2 measures the distance of the two flows at
# any time, also for flows from different initial laws.

# %%
free = wgf.solve(wgf.FokkerPlanck(), potential=bowl, network=fine, t_end=0.5)
print("peak without exclusion:", free.density(0.5, 0.0), " W2 between the two:", crowd.w2(free))
assert free.density(0.5, 0.0) > 2

# %% [markdown]
# Read on: [networks, integrators and equations of your own, also from the command line](extending.md);
# [which network and which integrator to use](methods.md); [every setting](configuration.md). `wgf.load("RUN")` reads
# the folder RUN of a run of the command `wgf` as such a flow.
