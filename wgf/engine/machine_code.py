"""Functions of the kernel become machine code: compiled once, kept on the disk, announced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

log = logging.getLogger("wgf")

COMPILES = "numba:compile"  # event of numba
# the machine code depends on these files
OWN = ("arrays", "kernel", "landscape", "lanes", "linear", "machine_code", "many", "pairs", "program", "tapes/tape")
SOURCES = (*OWN, "../integrators/controller", "../integrators/time_loop")
STAMP = sha256(b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in SOURCES)).hexdigest()
OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # NaN and infinity stay what they are
    "error_model": "numpy",
    "nogil": True,
}

jit: Any = numba.njit


class Part(JITCodeLibrary):
    """Code of a function that only others call. LLVM optimises it where an entry links it, and not here: numba would
    optimise a function anew in each of its callers, and translate it each time."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        for library in dict.fromkeys(self._linking_libraries):
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    @property
    def codegen(self) -> Part:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Only code that runs has an environment."""


class PartCompiler(Compiler):
    """The compiler of numba, with a `Part` as its result."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


def compiled(function: Callable) -> Any:
    """Decorator: a function that compiled functions call. Python cannot call it."""
    return jit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=PartCompiler)(function)


def entry(function: Callable) -> Any:
    """Decorator: a compiled function that Python calls. Its code, with that of all it calls, is kept on the disk.

    numba keeps code until the file of the function has another date; here the content of all files counts.
    """
    dispatcher = jit(**OPTIONS, no_cfunc_wrapper=True, cache=True)(function)
    if hasattr(dispatcher._cache, "_cache_file"):
        dispatcher._cache._cache_file._source_stamp = STAMP
    return dispatcher


class Announcement(event.Listener):
    """Says that code is compiled, when that begins for the first time."""

    def on_start(self, event: Any) -> None:
        path = event.data["dispatcher"].py_func.__module__
        if path.startswith("wgf.engine"):
            log.info("compiling the engine for this machine, once: this takes about 12 s")
            numba.core.event.unregister(COMPILES, self)

    def on_end(self, event: Any) -> None:
        """Nothing."""


event.register(COMPILES, Announcement())
