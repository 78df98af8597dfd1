"""The result of a run: every reported number with its meaning and unit.

result.json, results.csv, the terminal table, TensorBoard's HPARAMS tab and the objective of a search use this class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import ROUND_CEILING, Context
from functools import cache
from typing import Any

CLEAR = 3.0  # an error below so many times the reference solution's own error may belong to the reference solution
UPWARDS = Context(prec=3, rounding=ROUND_CEILING)


def number(meaning: str, unit: str = "", *, label: str = "", compared: bool = False) -> Any:
    """Declare a field of `Result`; None means that it does not apply.

    Args:
        meaning: one line for people.
        unit: unit of the number; empty for a pure number or a text.
        label: name in figures and tables; the field's name by default.
        compared: whether tables of several runs compare this number.
    """
    return field(default=None, metadata={"meaning": meaning, "unit": unit, "label": label, "compared": compared})


@dataclass(frozen=True)
class Result:
    """Result of a run."""

    status: str = number("completed, or why the run stopped")
    message: str = number("the status as a sentence")
    equation: str = number("the equation")
    t_end: float = number("time reached", "time")
    t_wanted: float = number("requested end time", "time")
    steps: int = number("accepted steps", label="steps", compared=True)
    mean_step: float | None = number("mean step of a method of fixed steps", "time")
    rejected: int = number("rejected steps")
    evaluations: int = number("evaluations of the velocity or of its derivatives", compared=True)
    energy: float = number("F at the end", "energy", compared=True)
    energy_terms: Mapping[str, float] = number("terms of F, in the columns energy_<term>", "energy")
    energy_error: float | None = number(
        "error of a term of F, by its changes when the quadrature cuts its cells in 2, 3 and 16; of random "
        "particles the standard error of a term or of F",
        "energy",
    )
    dissipated: float = number("integral of the dissipation over time", "energy")
    work: float | None = number("work of a potential that moves: integral of dV/dt rho over space and time", "energy")
    dissipation_gap: float | None = number(
        "relative difference between energy lost plus work and the energy dissipated",
        label="dissipation gap",
        compared=True,
    )
    w1_error: float | None = number("W1 distance to the reference solution", "length", label="W1 error", compared=True)
    w2_error: float | None = number("W2 distance to the reference solution", "length", label="W2 error", compared=True)
    w2_bound: float | None = number("computable upper bound of the W2 error", "length", label="W2 bound", compared=True)
    w2_bound_own: float | None = number("bound by the run itself", "length")
    w2_bound_distance: float | None = number("W2 distance to a richer run", "length")
    w2_bound_certificate: float | None = number("bound of the W2 error of the richer run", "length")
    w2_bound_lambda: float | None = number("convexity lambda in the bound", "1/time")
    w2_bound_quadrature: float | None = number("relative change of the bound when its quadrature orders double")
    w2_bound_unknown: str | None = number("why there is no bound")
    w2_best: float | None = number("smallest W2 error that a map of this network can have", "length")
    reference_solution: str | None = number("what errors are measured against")
    reference_error: float | None = number("estimated W1 error of the reference solution", "length")
    reference_w2_error: float | None = number("estimated W2 error of the reference solution", "length")
    reference_w2_bound: float | None = number("computable upper bound of that error, by a richer run", "length")
    w2_to_equilibrium: float | None = number("W2 distance to the Gibbs law", "length")
    initial_w2: float | None = number("W2 distance between the initial law and the map at t = 0", "length")
    breakpoints: int | None = number("breakpoints of a spline at the end", compared=True)
    transfers: int | None = number("times the breakpoints changed")
    transferred_w2: float | None = number("sum of the W2 distances that these changes moved the map", "length")
    mesh_error: float | None = number("largest estimated W2 distance to the splines on the breakpoints", "length")
    mesh_tolerance: float | None = number("tolerance of that distance", "length")
    confirmed_w2: float | None = number("W2 distance to a run with a larger tolerance that confirms this one", "length")
    unconfirmed: str | None = number("why no run confirms this one, with network.width=auto")
    mass: float = number("int p dz by the quadrature of the errors", "mass")
    mean: float = number("int x rho", "length")
    second_moment: float = number("int x^2 rho", "length^2")
    second_moment_law: float | None = number("exact second moment, if it obeys a law", "length^2")
    blow_up_bound: float | None = number("latest possible blow-up time", "time")
    min_slope: float = number("smallest slope of the map")
    parameters: int = number("trained parameters", compared=True)
    doubts: str | None = number("numbers that may be wrong, and why")
    rank: int | None = number("rank of the metric")
    condition: float | None = number("condition number of the solved matrix")
    residual: float | None = number("|G theta' + grad F| / |grad F|")
    truncated: int | None = number("dropped directions of the metric")
    damped: float | None = number("damping added to the diagonal of the metric")
    iterations: int | None = number("iterations of the solver")
    wall_s: float = number("wall time of the flow", "s", label="wall time (s)", compared=True)
    unsaved: str | None = number("files that could not be written, and why")

    def as_dict(self) -> dict[str, Any]:
        """Content of result.json: one level, energy terms as energy_<name>, `unsaved` only if it is not None."""
        found: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name == "energy_terms":
                found |= {f"energy_{name}": term for name, term in (value or {}).items()}
            elif entry.name != "unsaved" or value is not None:
                found[entry.name] = value
        return found

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Result:
        """Result from the content of a result.json; missing entries are None."""
        names = {entry.name for entry in fields(cls)} - {"energy_terms"}
        terms = {key.removeprefix("energy_"): value for key, value in content.items() if key.startswith("energy_")}
        return cls(energy_terms=terms, **{name: content[name] for name in names & content.keys()})


@cache
def compared() -> dict[str, str]:
    """Numbers that tables of several runs compare, with their labels."""
    return {entry.name: label(entry.name) for entry in fields(Result) if entry.metadata["compared"]}


def meaning(name: str) -> tuple[str, str]:
    """Meaning and unit of a number of a result."""
    known = Result.__dataclass_fields__[name].metadata
    return known["meaning"], known["unit"]


def label(name: str) -> str:
    """Name of a number of a result in figures and tables."""
    known = {entry.name: entry.metadata["label"] or entry.name.replace("_", " ") for entry in fields(Result)}
    return known.get(name, name)


def at_most(bound: float) -> str:
    """Text of an upper bound: three digits, rounded up, so that what is printed is a bound, too."""
    return f"{float(UPWARDS.create_decimal_from_float(bound)):.2e}"


def is_clear(error: float | None, doubt: float | None) -> bool | None:
    """Whether an error is clearly above the reference solution's own error; None without an error."""
    return None if error is None else error >= CLEAR * (doubt or 0.0)


def clear(result: Mapping[str, Any]) -> dict[str, bool | None]:
    """`w1_clear` and `w2_clear` for the content of a result.json."""
    pairs = {"w1": "reference_error", "w2": "reference_w2_error"}
    return {f"{w}_clear": is_clear(result.get(f"{w}_error"), result.get(doubt)) for w, doubt in pairs.items()}


def finite(content: Mapping[str, Any]) -> dict[str, Any]:
    """Content with None for numbers that are not finite, because JSON cannot hold them."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in content.items()}
