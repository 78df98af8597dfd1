"""The core works without any optional package, and a default run stays small."""

import subprocess
import sys
import tomllib
from pathlib import Path

from command_line import wgf

from wgf.errors import install

ROOT = Path(__file__).parents[1]
EXTRAS = {  # extra -> the modules that it brings
    "slurm": ["submitit"],
    "ray": ["ray"],
    "optuna": ["optuna", "sqlalchemy"],
    "mlflow": ["mlflow"],
    "wandb": ["wandb"],
    "data": ["xarray", "netCDF4", "pyarrow"],
    "docs": ["zensical", "mkdocstrings", "jupytext", "nbconvert", "nbclient", "ipykernel"],
}
BLOCKED = f"import sys; sys.modules.update(dict.fromkeys({[name for names in EXTRAS.values() for name in names]}));"
COMMANDS = """
from wgf.cli import main
for words in ("hydra.run.dir=run", "-m network.width=4,5 debug=smoke hydra.sweep.dir=sweep hydra/launcher=basic"):
    sys.argv[1:] = words.split()
    try:
        main()
    except SystemExit as end:
        assert not end.code
"""


def test_every_extra_is_in_the_table():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*EXTRAS, "dev"} == {*project["optional-dependencies"]}


def test_a_run_and_a_sweep_need_no_extra(tmp_path: Path):
    answer = wgf(tmp_path, start=("-c", BLOCKED + COMMANDS))
    assert answer.returncode == 0, answer.stderr
    assert len(list(tmp_path.glob("sweep/*/result.json"))) == 2
    (events,) = tmp_path.glob("run/events.out.tfevents.*")
    assert events.stat().st_size < 300_000
    assert sum(path.stat().st_size for path in tmp_path.glob("run/**/*") if path.is_file()) < 2_000_000


def test_a_flow_needs_no_extra_but_for_datasets():
    code = f"""{BLOCKED} import wgf
flow = wgf.solve(wgf.FokkerPlanck(), t_end=0.01, saves=1)
flow.table(), flow.plot("density")
print("pandas" in sys.modules)
flow.to_xarray()"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.stdout.split() == ["False"], answer.stderr
    last = answer.stderr.strip().splitlines()[-1]
    assert last == f"wgf.errors.ConfigError: to_xarray needs xarray: {install('data')}"
