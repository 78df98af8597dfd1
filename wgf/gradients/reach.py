"""Checks that no derivative is lost between a tensor and the energies and laws that depend on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from wgf.errors import ConfigError
from wgf.gradients.tensors import leaves_of
from wgf.kept import is_plain
from wgf.problem.base import Base, Law
from wgf.problem.energy import MapAtNodes, Term
from wgf.problem.equations import Problem
from wgf.problem.quadrature import Nodes

FEW = 16  # nodes that show whether an energy depends on a tensor


def check_hidden(problem: Problem) -> None:
    """Check that energies and laws of a problem without tensors do not depend on tensors that are not their attributes.

    Raises:
        ConfigError: a derivative would be lost.
    """
    check_law(problem.law)
    check_law(problem.base)
    terms = [term for term in problem.terms if not is_plain(term)]
    if not terms:
        return
    edges = torch.tensor(problem.base.panels(), dtype=torch.float64)
    z = 0.5 * (edges[1:] + edges[:-1])[:: len(edges) // FEW + 1]
    for term in terms:
        if energies([term], Nodes(z, torch.full_like(z, 1 / len(z)), problem.base)):
            raise ConfigError(
                f"the energy {term} depends on a tensor that requires grad and is not its attribute: store the tensor "
                "as an attribute, or detach it"
            )


def check_law(law: Law) -> None:
    """Check that a law without tensors does not depend on tensors that are not its attributes.

    Raises:
        ConfigError: a derivative would be lost.
    """
    with torch.enable_grad():
        half = torch.full((1,), 0.5, dtype=torch.float64)
        value = law.log_density(law.mean + 0 * half) if isinstance(law, Base) else law.quantile(half)
    if value.requires_grad:
        raise ConfigError(
            f"law={type(law).__name__}(...) depends on a tensor that requires grad and is not its attribute: store the "
            "tensor as an attribute, or detach it"
        )


def energies(terms: Sequence[Term], nodes: Nodes) -> list[Tensor]:
    """Energies of the identity that depend on a tensor."""
    with torch.enable_grad():
        at = MapAtNodes(nodes, nodes.z, torch.ones_like(nodes.z))
        return [value for term in terms if (value := term.value(at)).requires_grad]


def check_reach(sources: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
    """Check that every tensor, or those from which it is computed, reaches one of the outputs.

    Raises:
        ConfigError: a derivative would be lost.
    """
    reached = {id(t) for t in leaves_of([t for t in outputs if t.requires_grad])}
    if lost := [t for t in leaves_of(sources) if id(t) not in reached]:
        raise ConfigError(
            f"a tensor of shape {list(lost[0].shape)} requires grad but reaches neither the energy nor the law: its "
            "derivative would be lost; call requires_grad_(False) on it"
        )
