"""Similar problems: x is shifted, reflected and rescaled, t is rescaled. Every number must follow.

The particle at x at the time t becomes one at X = length (x + shift) or length (shift - x) at the time `time` t, and
X' = -V'(X) asks for the potential length^2/time V(x). A density becomes 1/length of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True)
class Similarity:
    """X = length (x + shift), or length (shift - x) if it reflects; t becomes time t."""

    length: float
    shift: float
    time: float
    reflects: bool

    def x(self, x: float) -> float:
        """The place of a place (length)."""
        return self.length * ((-x if self.reflects else x) + self.shift)

    @property
    def energy(self) -> float:
        """Ratio of energies."""
        return self.length**2 / self.time


SIMILARITIES = {
    "shift": Similarity(1.0, 8.0, 1.0, False),
    "reflection": Similarity(1.0, 0.0, 1.0, True),
    "lengths": Similarity(2.0**-30, 0.0, 1.0, False),
    "times": Similarity(1.0, 0.0, 2.0**20, False),
}
PLACES = ("law.mean", "law.loc", "potential.center")
WIDTHS = ("law.std", "law.scale", "law.smoothing", "law.radius", "domain.length", "interaction.attraction_length",
          "interaction.repulsion_length")  # fmt: skip
ONE_SIDED = ("lognormal", "gamma", "exponential")
CENTRED = ("semicircle", "barenblatt")
UNSCALED = ("quartic", "sextic")


def applied(s: Similarity, settings: Settings) -> Settings | None:
    """The settings of the similar problem; None if the command has no settings for it."""
    new, law, scaled = dict(settings), settings["law"], (s.length, s.time) != (1.0, 1.0)
    if (law in ONE_SIDED and s.reflects) or (law in CENTRED and s.shift):
        return None
    if s.reflects and (settings.get("quadrature") == "monte_carlo" or settings.get("network") == "mlp"):
        return None
    if law == "barenblatt":
        new["law.t0"] = settings["law.t0"] * s.length ** (settings["law.exponent"] + 1)
    if (domain := settings.get("domain")) is not None:
        if (domain == "circle" and (s.shift or s.reflects)) or (domain == "half_line" and s.reflects):
            return None
        walls = [s.x(settings[key]) for key in ("domain.low", "domain.high") if key in settings]
        new |= dict(zip(("domain.low", "domain.high"), sorted(walls), strict=False))
    if "potential.force" in new:
        new["potential.force"] = settings["potential.force"] * s.length / s.time
    for key in PLACES:
        if key in new:
            new[key] = s.x(settings[key])
    for key in WIDTHS:
        if key in new:
            new[key] = settings[key] * s.length
    for key in ("law.means", "samples", "law.x", "law.edges"):
        if key in new:
            new[key] = [s.x(x) for x in settings[key]]
    if "law.stds" in new:
        new["law.stds"] = [s.length * std for std in settings["law.stds"]]
    if s.reflects:
        for key in ("law.x", "law.density", "law.edges", "law.counts"):
            if key in new:
                new[key] = new[key][::-1]
        if law == "beta":
            new["law.a"], new["law.b"] = settings["law.b"], settings["law.a"]
    if "law.low" in new:
        ends = [None if settings.get(k) is None else s.x(settings[k]) for k in ("law.low", "law.high")]
        new |= dict(zip(("law.low", "law.high"), ends[::-1] if s.reflects else ends, strict=True))
        if "law.high" not in settings:
            del new["law.high"]
    new["t_end"] = settings["t_end"] * s.time
    if "integrator.dt" in new:
        new["integrator.dt"] = settings["integrator.dt"] * s.time
    return _terms(s, new, settings, scaled)


def _terms(s: Similarity, new: Settings, settings: Settings, scaled: bool) -> Settings | None:
    """Potential, diffusion and interaction."""
    place = f"({'-' if s.reflects else ''}(x/{s.length!r} - {s.shift!r}))"
    if settings["potential"] in UNSCALED and scaled:
        new |= {"potential": "expression"}
        center = settings["potential.center"]
        del new["potential.center"]
        y = f"({place} - ({center!r}))"
        form = f"({y}**4/4 - {y}**2/2)" if settings["potential"] == "quartic" else f"({y}**6/6)"
        new["potential.expr"] = f"{s.energy!r}*{form}"
    elif settings["potential"] == "expression":
        new["potential.expr"] = f"{s.energy!r}*({_substituted(settings['potential.expr'], place, s.time)})"
    elif settings["potential"] == "table":
        points, values = [s.x(x) for x in settings["potential.x"]], [s.energy * v for v in settings["potential.values"]]
        new["potential.x"], new["potential.values"] = (points[::-1], values[::-1]) if s.reflects else (points, values)
    if "potential.stiffness" in new:
        new["potential.stiffness"] = settings["potential.stiffness"] / s.time
    exponent = settings.get("pde.exponent", 1.0)
    if "pde.diffusion" in new:
        new["pde.diffusion"] = settings["pde.diffusion"] * s.length ** (exponent + 1) / s.time
    if "pde.chi" in new:
        new["pde.chi"] = settings["pde.chi"] * s.energy
    kernel = settings.get("interaction", "none")
    if kernel == "expression":
        scaled_text = re.sub(r"\br\b", f"(r/{s.length!r})", settings["interaction.expr"])
        new["interaction.expr"] = f"{s.energy!r}*({scaled_text})"
    elif kernel == "morse":
        for key in ("interaction.attraction", "interaction.repulsion"):
            new[key] = settings[key] * s.energy
    elif kernel == "power_law":
        if s.length != 1:
            return None
        new["interaction.strength"] = settings["interaction.strength"] / s.time
    elif kernel != "none":
        power = {"log": 2, "newtonian": 1, "quadratic": 0}[kernel]
        new["interaction.strength"] = settings["interaction.strength"] * s.length**power / s.time
    return new


def _substituted(text: str, place: str, time: float) -> str:
    """An expression of another x and another unit of the time."""
    return re.sub(r"\bx\b", place, re.sub(r"\bt\b", f"(t/{time!r})", text))


LENGTHS = ("w1_error", "w2_error", "w2_best", "reference_error", "reference_w2_error", "w2_to_equilibrium",
           "initial_w2", "w2_bound", "w2_bound_own", "w2_bound_distance", "w2_bound_certificate",
           "reference_w2_bound")  # fmt: skip
TIMES = ("t_end", "t_wanted", "blow_up_bound")
COUNTS = ("steps", "rejected", "evaluations", "parameters", "rank", "truncated")
SAME = ("mass", "min_slope", "dissipation_gap")


def expected(s: Similarity, settings: Settings, result: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of the similar problem by those of the problem."""
    found: dict[str, float | None] = {}
    for names, factor in ((LENGTHS, s.length), (TIMES, s.time), (SAME, 1.0), (("w2_bound_lambda",), 1 / s.time)):
        found |= {name: None if result[name] is None else factor * result[name] for name in names}
    found |= {name: result[name] for name in COUNTS}
    found["dissipated"] = s.energy * result["dissipated"]
    found["work"] = None if result["work"] is None else s.energy * result["work"]
    mean, square = result["mean"], result["second_moment"]
    sign = -1.0 if s.reflects else 1.0
    found["mean"] = s.length * (sign * mean + s.shift)
    for name in ("second_moment", "second_moment_law"):
        square = result[name]
        if name == "second_moment_law" and s.shift:  # it would need the mean's own law
            continue
        found[name] = None if square is None else s.length**2 * (square + 2 * sign * s.shift * mean + s.shift**2)
    energies = {key.removeprefix("energy_"): result[key] for key in result if key.startswith("energy_")}
    error = energies.pop("error")
    found["energy_error"] = None if error is None else s.energy * error
    if None in energies.values():  # energies that are not resolved are no numbers
        return found
    logarithm = math.log(s.length)
    if "entropy" in energies:
        energies["entropy"] -= settings["pde.diffusion"] * logarithm
    if "interaction" in energies:
        strength = 2 * settings.get("pde.chi", 0.0)
        if settings.get("interaction") == "log":
            strength = settings["interaction.strength"]
        energies["interaction"] += 0.5 * strength * logarithm
    found |= {f"energy_{name}": s.energy * value for name, value in energies.items()}
    found["energy"] = s.energy * sum(energies.values())
    return found
