"""The way back through an ensemble in torch: it takes the k-th steps of all flows again, and differentiates them."""

from __future__ import annotations

import torch
from torch import Tensor

from wgf.ensembles.batched.landscape import Landscape
from wgf.ensembles.batched.step import Step
from wgf.ensembles.job import Found, Job, Path
from wgf.gradients import growth

MEMORY = 2**28  # bytes that it takes on the CPU
EACH = 40  # bytes for each number of `Landscape.entries`: a step keeps those of its six stages


def pull_back(job: Job, path: Path, bars: Tensor) -> Found:
    """The way back through the flows of a job.

    Args:
        path: the flows.
        bars: derivatives of a loss in the coordinates at the goals [n, s, M]; 0 where a flow did not arrive.
    """
    device = path.lengths.device
    step = Step(Landscape(job.mesh, job.energy, device), job.method)
    counts = torch.stack([path.steps(t) for t in job.goals.tolist()]) * (bars != 0).any(2).T.to(device)
    steps, order = counts.amax(0).sort(descending=True)
    parameters, moves = torch.from_numpy(job.parameters.T).to(device), bars.permute(1, 2, 0).to(device)
    start, slopes = torch.zeros_like(moves[0]), torch.zeros_like(parameters)
    memory = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else MEMORY
    width = max(1, memory // (EACH * step.landscape.entries()))
    root = torch.linalg.cholesky(step.landscape.mass)

    def length(x: Tensor) -> Tensor:
        """In the dual of the W2 length [...] of derivatives [..., M, n]."""
        return torch.linalg.solve_triangular(root, x, upper=False).norm(dim=-2)

    loss, worst = length(moves).amax(0), moves.new_zeros(())
    for at, own in zip(order.split(width), steps.split(width), strict=True):
        most = int(own[0])
        running = (own[:, None] > torch.arange(most, device=device)).sum(0).tolist()
        now = torch.zeros_like(moves[0, :, at])
        for k in range(most, 0, -1):
            now = now + moves[:, :, at].where(counts[:, None, at] == k, 0.0).sum(0)
            flows = at[: running[k - 1]]
            row = path.first[flows] + k - 1
            before, after = path.coordinates[row].T, now[:, : len(flows)]
            old, found = step.pull_back(before, parameters[:, flows], path.lengths[row], after)
            worst = torch.maximum(worst, growth.factor(length(old), length(after), loss[flows]))
            now = torch.cat([old, now[:, len(flows) :]], 1)
            slopes[:, flows] += found
        start[:, at] = now
    return Found(start.T.cpu(), slopes.T.cpu(), worst)
