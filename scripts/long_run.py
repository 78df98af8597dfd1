"""Memory, time per step and size of the files of a run of a million small steps.

    python scripts/long_run.py [STEPS]

The run writes checkpoints, history and TensorBoard events. The script reads resident memory and processor time after
every hundredth of the steps. The exit status is 1 if the memory grows by 20 MB from the first to the last of these
readings, or if a step takes 10 % more time in the last tenth than in the first.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from hydra import compose, initialize_config_dir

from wgf.integrators.status import Status
from wgf.run.build import build
from wgf.run.loggers.tensorboard import TensorBoard
from wgf.run.runner import run
from wgf.settings.check import CONFIGS, check

BLOCKS = 100
DT = 1e-7
MOST_GROWTH = 20.0  # of the memory (MB)
MOST_SLOWDOWN = 1.10  # ratio of the times per step


def resident() -> float:
    """Resident memory of this process (MB)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


class Watch(TensorBoard):
    """TensorBoard that also records memory and processor time after every block of steps."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block, self.count = block, 0
        self.memory: list[float] = []
        self.seconds: list[float] = [time.process_time()]

    def step(self, t: float, dt: float, energy: float) -> None:
        super().step(t, dt, energy)
        self.count += 1
        if self.count % self.block == 0:
            self.memory.append(resident())
            self.seconds.append(time.process_time())
            if len(self.memory) % 10 == 0:
                per_step = (self.seconds[-1] - self.seconds[-11]) / (10 * self.block)
                print(f"{self.count:>9,} steps  {self.memory[-1]:7.1f} MB  {1e3 * per_step:.4f} ms a step", flush=True)


def main() -> int:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    words = [
        "integrator=euler",
        f"integrator.dt={DT}",
        f"integrator.max_steps={2 * steps}",
        f"t_end={DT * steps}",
        "network=two_sided_relu",
        "network.width=8",
        "reference_solution=none",
        "figures=false",
        "threads=1",
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("config", words)
    check(cfg)
    experiment = build(cfg)
    experiment.logger = watch = Watch(steps // BLOCKS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        result = run(experiment, cfg, folder)
        sizes = {
            path.name.partition(".tfevents")[0]: path.stat().st_size for path in folder.iterdir() if path.is_file()
        }
        sizes["checkpoints"] = sum(path.stat().st_size for path in (folder / "checkpoints").iterdir())
    print(f"{result.status}, {result.steps:,} steps, " + ", ".join(f"{n} {s / 1e3:.0f} kB" for n, s in sizes.items()))
    durations = [after - before for before, after in zip(watch.seconds, watch.seconds[1:], strict=False)]
    first, last = (statistics.median(part) for part in (durations[: BLOCKS // 10], durations[-(BLOCKS // 10) :]))
    growth, slowdown = watch.memory[-1] - watch.memory[0], last / first
    print(f"memory grew by {growth:.1f} MB, time per step at the end {slowdown:.3f} of that at the start")
    return int(result.status != Status.completed.name or growth >= MOST_GROWTH or slowdown > MOST_SLOWDOWN)


if __name__ == "__main__":
    sys.exit(main())
