"""Functions as the engine compiles them."""

from collections.abc import Callable
from typing import Any

import numba

from wgf.engine.machine_code import OPTIONS, EntryCompiler


def entry(function: Callable) -> Any:
    """An entry that is not kept on the disk."""
    return numba.njit(**OPTIONS, no_cfunc_wrapper=True, pipeline_class=EntryCompiler)(function)
