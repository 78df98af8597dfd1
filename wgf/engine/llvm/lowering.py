"""The instructions of LLVM for functions of numbers and arrays.

numba emits about three times as many, and most of the time that it takes to compile goes by their number: it keeps each
variable in memory, copies an array to read its address, and clears what it no longer needs.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numba
from llvmlite import ir as llvm
from numba.core import ir
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering
from numba.np.arrayobj import load_item, store_item

from wgf.engine.llvm.loops import INTEGER, Loops


class ShortLower(Loops):
    """numba's instructions, with own ones for variables and for elements, rows and ranges of arrays in C's order."""

    def _find_singly_assigned_variable(self) -> None:
        """Variables that have one value need no memory; numba keeps those that several blocks read there, too."""
        counts = Counter(each.target.name for block in self.blocks.values() for each in block.find_insts(ir.Assign))
        self._singly_assigned_vars = {name for name, count in counts.items() if count == 1}
        self._blk_local_varmap: dict[str, Any] = {}

    def storevar(self, value: Any, name: str, argidx: int | None = None) -> None:
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self._alloca_var(name, self.typeof(name))
            self.builder.store(value, self.getvar(name))

    def lower_inst(self, inst: Any) -> Any:
        if isinstance(inst, ir.StaticSetItem) and self._is_array(inst.target):
            return self.lower_setitem(inst.target, inst.index_var, inst.value, self.fndesc.calltypes[inst])
        return super().lower_inst(inst)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        if expr.op == "static_getitem" and self._is_array(expr.value):
            return self.lower_getitem(resty, expr, expr.value, expr.index_var, self.fndesc.calltypes[expr])
        if expr.op == "getattr" and expr.attr == "shape" and self._is_array(expr.value):
            return self._part(expr.value, "shape")
        return super().lower_expr(resty, expr)

    def lower_call(self, resty: Any, expr: Any) -> Any:
        if getattr(self.typeof(expr.func.name), "typing_key", None) is len and self._is_array(expr.args[0]):
            return self._length(expr.args[0], 0)
        return super().lower_call(resty, expr)

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        if (found := self._place(value, index)) is None:
            return super().lower_getitem(resty, expr, value, index, signature)
        data, lengths = found
        kind = self.typeof(value.name)
        if not lengths:
            return load_item(self.context, self.builder, kind, data)
        return self._view(resty, data, lengths, value)

    def lower_setitem(self, target: Any, index: Any, value: Any, signature: Any) -> Any:
        if (found := self._place(target, index)) is None or found[1]:
            return super().lower_setitem(target, index, value, signature)
        kind, given = self.typeof(target.name), self.loadvar(value.name)
        given = self.context.cast(self.builder, given, self.typeof(value.name), kind.dtype)
        return store_item(self.context, self.builder, kind, given, found[0])

    def _is_array(self, name: Any) -> bool:
        return isinstance(self.typeof(name.name), numba.types.Array)

    def _part(self, array: Any, field: str, *axis: int) -> Any:
        """A field of numba's structure for an array, or one number of it."""
        model = self.context.data_model_manager[self.typeof(array.name)]
        return self.builder.extract_value(self.loadvar(array.name), (model.get_field_position(field), *axis))

    def _place(self, array: Any, index: Any) -> tuple[Any, list[Any]] | None:
        """Address of the first element that an index selects, and the lengths of the axes that remain; None for an
        index other than whole numbers, after which a range of the last axis may come."""
        if not self._is_array(array):
            return None
        kind, at, builder = self.typeof(array.name), self.typeof(index.name), self.builder
        tupled = isinstance(at, numba.types.BaseTuple)
        kinds = list(at.types) if tupled else [at]
        ranged = isinstance(kinds[-1], numba.types.SliceType) and not kinds[-1].has_step and len(kinds) == kind.ndim
        whole = kinds[:-1] if ranged else kinds
        if kind.layout != "C" or not all(isinstance(each, numba.types.Integer) for each in whole):
            return None
        given = self.loadvar(index.name)
        indices = [builder.extract_value(given, k) for k in range(len(kinds))] if tupled else [given]
        offset, rest = None, []
        for axis in range(kind.ndim):
            if offset is not None:
                offset = builder.mul(offset, self._length(array, axis))
            if axis < len(whole):
                moved = self.context.cast(builder, indices[axis], whole[axis], numba.types.intp)
                moved = self._from_start(moved, array, axis)
            elif ranged:
                moved, stop = (self._within(builder.extract_value(indices[axis], end), array, axis) for end in (0, 1))
                rest.append(builder.sub(stop, moved))
            else:
                rest.append(self._length(array, axis))
                continue
            offset = moved if offset is None else builder.add(offset, moved)
        return builder.gep(self._part(array, "data"), [offset]), rest

    def _length(self, array: Any, axis: int) -> Any:
        return self._part(array, "shape", axis)

    def _from_start(self, index: Any, array: Any, axis: int) -> Any:
        """An index that counts from the start; as in Python, a negative one counts from the end."""
        if isinstance(index, llvm.Constant) and index.constant >= 0:
            return index
        negative = self.builder.icmp_signed("<", index, INTEGER(0))
        return self.builder.select(negative, self.builder.add(index, self._length(array, axis)), index)

    def _within(self, end: Any, array: Any, axis: int) -> Any:
        """An end of a range, not behind the end of the axis."""
        end, length = self._from_start(end, array, axis), self._length(array, axis)
        return self.builder.select(self.builder.icmp_signed("<", end, length), end, length)

    def _view(self, kind: Any, data: Any, lengths: list[Any], array: Any) -> Any:
        """The structure of an array at an address."""
        builder, axes, of = self.builder, len(lengths), self.typeof(array.name).ndim
        model, size = self.context.data_model_manager[kind], self._part(array, "itemsize")
        count = lengths[0]
        for length in lengths[1:]:
            count = builder.mul(count, length)
        view = llvm.Constant(model.get_value_type(), None)
        for field, value in (("nitems", count), ("itemsize", size), ("data", data)):
            view = builder.insert_value(view, value, model.get_field_position(field))
        for k, length in enumerate(lengths):
            stride = self._part(array, "strides", of - axes + k)
            view = builder.insert_value(view, length, (model.get_field_position("shape"), k))
            view = builder.insert_value(view, stride, (model.get_field_position("strides"), k))
        return view


@register_pass(mutates_CFG=True, analysis_only=False)
class ShortLowering(NativeLowering):
    """numba's step from types to LLVM."""

    _name = "short_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return ShortLower
