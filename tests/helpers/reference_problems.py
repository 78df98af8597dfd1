"""Problems with known solutions."""

from wgf.problem.base import Base
from wgf.problem.equations import AggregationDiffusion, FokkerPlanck, PorousMedium, Problem
from wgf.problem.interaction import Log, Quadratic, Zero
from wgf.problem.laws import Barenblatt, Gaussian, Laplace, Semicircle, Uniform
from wgf.problem.potential import Quadratic as Well
from wgf.problem.potential import Quartic
from wgf.problem.potential import Zero as Flat


def problem(pde, law: Base, potential=None, interaction=None) -> Problem:
    return pde.problem(law, potential or Flat(), interaction or Zero(), 1.0)


QUARTIC = problem(FokkerPlanck(), Gaussian(), Quartic(1.0))

# Problems with an affine map
AFFINE = {
    "heat": problem(FokkerPlanck(0.7), Gaussian(0.3, 1.2)),
    "ornstein-uhlenbeck": problem(FokkerPlanck(0.6), Gaussian(1.0, 0.5), Well(1.3, -0.4)),
    "diffusion off a hill": problem(FokkerPlanck(0.6), Gaussian(1.0, 0.5), Well(-0.8, 0.2)),
    "steady": problem(FokkerPlanck(2.0), Gaussian(0.5, 1.0), Well(2.0, 0.5)),
    "barenblatt": problem(PorousMedium(2.0), Barenblatt(2.0, 1.0)),
    "barenblatt cubic": problem(PorousMedium(3.0, 0.6), Barenblatt(3.0, 0.5), Well(0.9, 0.3)),
    "barenblatt thin": problem(PorousMedium(1.4, 1.7), Barenblatt(1.4, 2.0), Well(-0.3, 0.1)),
    "attraction": problem(AggregationDiffusion(0.0), Laplace(0.4, 0.8), None, Quadratic(1.5)),
    "repulsion in a well": problem(AggregationDiffusion(0.0), Uniform(-1.0, 3.0), Well(0.7, -1.0), Quadratic(-0.4)),
    "all three linear": problem(AggregationDiffusion(0.8), Gaussian(0.6, 0.7), Well(0.5, -1.0), Quadratic(1.1)),
    "all three porous": problem(AggregationDiffusion(0.8, 2.0), Barenblatt(2.0, 0.7), Well(0.5, -1.0), Quadratic(1.1)),
    "log repulsion": problem(AggregationDiffusion(0.0), Semicircle(1.6), None, Log(-0.9)),
    "log attraction in a hill": problem(AggregationDiffusion(0.0), Semicircle(1.6), Well(-0.5, 0.3), Log(0.4)),
}
