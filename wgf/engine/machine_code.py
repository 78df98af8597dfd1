"""Functions of the kernel become machine code: compiled once, kept on the disk, announced."""

from __future__ import annotations

import gc
import logging
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import interpreter
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.postproc import PostProcessor
from numba.core.runtime.nrt import rtsys
from numba.core.typed_passes import NativeLowering
from numba.core.types.functions import BaseFunction
from numba.core.typing.arraydecl import GetItemBuffer, SetItemBuffer
from numba.core.typing.templates import infer_global

log = logging.getLogger("wgf")

# the machine code depends on these files
OWN = ("arrays", "kernel", "landscape", "lanes", "linear", "machine_code", "many", "pairs", "program", "tapes/tape")
LLVM = ("llvm/loops", "llvm/lowering", "llvm/references", "llvm/vectors")
BACK = ("backward/kernel", "backward/pairs")
SOURCES = (*OWN, *BACK, *LLVM, "../integrators/controller", "../integrators/time_loop")
STAMP = sha256(b"".join((Path(__file__).parent / f"{name}.py").read_bytes() for name in SOURCES)).hexdigest()
OPTIONS: dict[str, Any] = {
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # NaN and infinity stay what they are
    "error_model": "numpy",
    "nogil": True,
    "_nrt": False,  # no function makes arrays, so none counts references to them
}

# steps of numba for closures, comprehensions, `with`, loops over tuples of several types, expressions of whole arrays
# and the lives of objects with a count of references
UNUSED = {"InlineClosureLikes", "MakeFunctionToJitFunction", "InlineInlinables", "WithLifting", "GenericRewrites"}
UNUSED |= {"FindLiterallyCalls", "LiteralUnroll", "LiteralPropagationSubPipelinePass", "RewriteDynamicRaises"}
UNUSED |= {"NopythonRewrites", "InlineOverloads", "IRLegalization"}

jit: Any = numba.njit

# numba has a dozen definitions of a[i] for other types than arrays, and tries all of them first, at every a[i]
for _function, _template in ((operator.getitem, GetItemBuffer), (operator.setitem, SetItemBuffer)):
    infer_global(_function)(type(_template.__name__, (_template,), {"metadata": {"target": "cpu"}}))


class Part(JITCodeLibrary):
    """Code of a function that only others call. An entry links it, and LLVM optimises it there: numba would link,
    optimise and translate a function anew in each of its callers."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"  # several entries may link it
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        return self._final_module

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    @property
    def codegen(self) -> Part:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Only code that runs has an environment."""


@contextmanager
def brief() -> Iterator[None]:
    """numba without what it repeats, for functions that hold numbers and arrays.

    It asks all definitions of a function for the types of each call, looks in each function for `with`, and finds after
    many of its steps how long variables live.
    """
    known: dict[Any, Any] = {}
    type_of = BaseFunction.get_call_type

    def known_type(function: Any, context: Any, args: Any, keywords: Any) -> Any:
        key = function, tuple(args), tuple(keywords.items())
        if key not in known:
            known[key] = type_of(function, context, args, keywords)
        return known[key]

    with ExitStack() as stack:
        for owner, name, value in (
            (BaseFunction, "get_call_type", known_type),
            (interpreter, "peep_hole_delete_with_exit", lambda code: code),
            (PostProcessor, "run", lambda *_, **__: None),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


class ShortCompiler(Compiler):
    """numba's compiler without steps that these functions do not need."""

    def define_pipelines(self) -> Any:
        # here, because it loads what numba knows of arrays, which code from the disk does not need
        from wgf.engine.llvm.lowering import ShortLowering

        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes[:] = [
                (ShortLowering, reason) if step is NativeLowering else (step, reason)
                for step, reason in pipeline.passes
                if step.__name__ not in UNUSED
            ]
        return pipelines


class PartCompiler(ShortCompiler):
    """Compiler of functions that only others call."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


class Whole(JITCodeLibrary):
    """Code of a function that Python calls, with all that it calls: LLVM optimises it once."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        waiting, seen = self._linking_libraries, set()
        self._linking_libraries = []
        while waiting:
            library = waiting.pop()
            if library not in seen:
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
                seen.add(library)
                waiting += library._linking_libraries
        super().finalize()

    def _optimize_final_module(self) -> None:
        options = llvm.create_pipeline_tuning_options(2)
        # loops are short: several copies of their bodies would hardly run
        options.loop_vectorization, options.slp_vectorization = True, False
        options.loop_unrolling = options.loop_interleaving = False
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


class EntryCompiler(ShortCompiler):
    """Compiler of functions that Python calls."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return super().define_pipelines()

    def compile_extra(self, function: Callable) -> Any:
        announce(function.__module__ == "wgf.engine.backward.kernel")
        collects = gc.isenabled()
        gc.disable()  # numba makes millions of objects and keeps most: to look through them takes a sixth of its time
        try:
            with brief():
                return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()


@cache
def announce(back: bool) -> None:
    """Say that code is compiled, the first time; `back`: that of the way back through a flow.

    Where nobody has set up logging, as in plain Python, the terminal says it.
    """
    what = "gradients of flows" if back else "the engine"
    line = f"compiling {what} for this machine, once: this takes about 3 s"
    if log.hasHandlers():
        log.info(line)
    else:
        print(f"wgf: {line}", file=sys.stderr)


def compiled(function: Callable, **options: bool) -> Any:
    """Decorator: a function that compiled functions call. Python cannot call it."""
    alone = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "pipeline_class": PartCompiler}
    return jit(**OPTIONS, **alone, **options)(function)


def copied(function: Callable) -> Any:
    """Decorator: a function of which each caller gets a copy, for the constants in its call."""
    return compiled(function, forceinline=True)


class Direct:
    """An entry that is always called with arguments of the same types. numba would look at each of the many arrays in
    them, which takes longer than some flows.

    Args:
        dispatcher: the entry.
    """

    def __init__(self, dispatcher: Any) -> None:
        self._call, self._dispatcher = None, dispatcher

    def __call__(self, *args: Any) -> None:
        if self._call is None:
            self._dispatcher(*args)
            self._call = self._dispatcher.overloads[tuple(map(numba.typeof, args))].entry_point
        else:
            self._call(*args)


class Kept(FunctionCache):
    """The code of an entry on the disk.

    numba keeps code until the file of the function has another date; here the content of all files counts. To load
    code, numba would first load the definitions of all functions that it can compile.
    """

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = STAMP

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        try:
            return self._load_overload(sig, target_context)
        except Exception as error:  # a file was cut off by a full disk, say, or is none of ours
            log.info("the compiled code on the disk cannot be read (%s): it is made anew", error)
            self.flush()
            return None


def entry(function: Callable) -> Any:
    """Decorator: a compiled function that Python calls. Its code, with that of all it calls, is kept on the disk."""
    dispatcher = jit(**OPTIONS, no_cfunc_wrapper=True, pipeline_class=EntryCompiler)(function)
    dispatcher._cache = Kept(function)
    return dispatcher
