"""Random problems, and independent judges of every number of their results: the parts of `scripts/stress.py`."""

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).parents[2] / "tests" / "helpers"))  # finite elements and particles of equal mass
