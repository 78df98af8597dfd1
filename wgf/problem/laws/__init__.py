"""Laws: the initial law of a flow and the reference measure of its maps."""

from wgf.problem.laws.beta import Barenblatt, Beta, Semicircle, SymmetricBeta
from wgf.problem.laws.data import Histogram, SampleFile, Samples, Table
from wgf.problem.laws.elementary import Exponential, Laplace, Uniform
from wgf.problem.laws.formula import Density, Formula
from wgf.problem.laws.normal import Gaussian, LogNormal, Mixture, TruncatedNormal
from wgf.problem.laws.special import Gamma, Student

__all__ = [
    "Barenblatt",
    "Beta",
    "Density",
    "Exponential",
    "Formula",
    "Gamma",
    "Gaussian",
    "Histogram",
    "Laplace",
    "LogNormal",
    "Mixture",
    "SampleFile",
    "Samples",
    "Semicircle",
    "Student",
    "SymmetricBeta",
    "Table",
    "TruncatedNormal",
    "Uniform",
]
