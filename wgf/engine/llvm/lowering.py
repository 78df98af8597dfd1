"""The instructions of LLVM for functions of numbers and arrays.

numba emits three times as many, and the time to compile goes by their number: it keeps most variables in memory, copies
the structure of an array there to read one field, and clears all memory first.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from llvmlite import ir as llvm
from numba.core import ir, types
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering
from numba.np.arrayobj import load_item, store_item

from wgf.engine.llvm.loops import INTEGER, Loops


class ShortLower(Loops):
    """numba's instructions, with own ones for variables, and for elements, rows and ranges of arrays in C's order."""

    def _find_singly_assigned_variable(self) -> None:
        """Find the variables that have one value, and need no memory."""
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
            return self._field(expr.value, "shape")
        return super().lower_expr(resty, expr)

    def lower_call(self, resty: Any, expr: Any) -> Any:
        if getattr(self.typeof(expr.func.name), "typing_key", None) is len and self._is_array(expr.args[0]):
            return self._field(expr.args[0], "shape", 0)
        return super().lower_call(resty, expr)

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        if (found := self._place(value, index)) is None:
            return super().lower_getitem(resty, expr, value, index, signature)
        address, lengths = found
        if lengths:
            return self._view(signature.return_type, address, lengths, value)
        element = load_item(self.context, self.builder, self.typeof(value.name), address)
        return self.context.cast(self.builder, element, signature.return_type, resty)

    def lower_setitem(self, target: Any, index: Any, value: Any, signature: Any) -> Any:
        if (found := self._place(target, index)) is None or found[1]:
            return super().lower_setitem(target, index, value, signature)
        kind = self.typeof(target.name)
        return store_item(self.context, self.builder, kind, self._cast_var(value, kind.dtype), found[0])

    def _is_array(self, variable: Any) -> bool:
        return isinstance(self.typeof(variable.name), types.Array)

    def _field(self, array: Any, name: str, *axis: int) -> Any:
        """A field of numba's structure of an array, or the number of it that belongs to an axis."""
        model = self.context.data_model_manager[self.typeof(array.name)]
        return self.builder.extract_value(self.loadvar(array.name), (model.get_field_position(name), *axis))

    def _place(self, array: Any, index: Any) -> tuple[Any, list[Any]] | None:
        """Address of the first element that an index selects, and the lengths of the axes that remain; None for other
        indices than whole numbers, after which a range of the last axis may come, and where numba checks bounds."""
        kind, at, builder = self.typeof(array.name), self.typeof(index.name), self.builder
        several = isinstance(at, types.BaseTuple)
        kinds = list(at.types) if several else [at]
        if not self._is_array(array) or kind.layout != "C" or not kinds or self.context.enable_boundscheck:
            return None
        ranged = isinstance(kinds[-1], types.SliceType) and not kinds[-1].has_step and len(kinds) == kind.ndim
        whole = kinds[:-1] if ranged else kinds
        if not all(isinstance(each, types.Integer) for each in whole):
            return None
        given = self.loadvar(index.name)
        each = [builder.extract_value(given, k) for k in range(len(kinds))] if several else [given]
        offset, lengths = INTEGER(0), []
        for axis in range(kind.ndim):
            if axis > 0:
                offset = builder.mul(offset, self._field(array, "shape", axis))
            if axis < len(whole):
                number = self._cast_index(each[axis], whole[axis], array, axis)
            elif ranged:
                number, stop = (self._end(builder.extract_value(each[axis], k), array, axis) for k in (0, 1))
                lengths.append(self._larger(builder.sub(stop, number), INTEGER(0)))
            else:
                lengths.append(self._field(array, "shape", axis))
                continue
            offset = builder.add(offset, number) if axis > 0 else number
        return builder.gep(self._field(array, "data"), [offset]), lengths

    def _cast_index(self, index: Any, kind: Any, array: Any, axis: int) -> Any:
        """An index from the start; as in Python, a negative one counts from the end."""
        index = self.context.cast(self.builder, index, kind, types.intp)
        if isinstance(index, llvm.Constant) and index.constant >= 0:
            return index
        negative = self.builder.icmp_signed("<", index, INTEGER(0))
        return self.builder.select(negative, self.builder.add(index, self._field(array, "shape", axis)), index)

    def _end(self, end: Any, array: Any, axis: int) -> Any:
        """An end of a range, inside the axis."""
        length = self._field(array, "shape", axis)
        end = self._larger(self._cast_index(end, types.intp, array, axis), INTEGER(0))
        return self.builder.select(self.builder.icmp_signed("<", end, length), end, length)

    def _larger(self, x: Any, y: Any) -> Any:
        return self.builder.select(self.builder.icmp_signed(">", x, y), x, y)

    def _view(self, kind: Any, address: Any, lengths: list[Any], array: Any) -> Any:
        """numba's structure of an array at an address, with the last axes of another."""
        builder, model, first = self.builder, self.context.data_model_manager[kind], self.typeof(array.name).ndim
        first, count = first - len(lengths), lengths[0]
        for length in lengths[1:]:
            count = builder.mul(count, length)
        view = llvm.Constant(model.get_value_type(), None)
        for field, value in (("nitems", count), ("itemsize", self._field(array, "itemsize")), ("data", address)):
            view = builder.insert_value(view, value, model.get_field_position(field))
        for k, length in enumerate(lengths):
            for field, value in (("shape", length), ("strides", self._field(array, "strides", first + k))):
                view = builder.insert_value(view, value, (model.get_field_position(field), k))
        return view


@register_pass(mutates_CFG=True, analysis_only=False)
class ShortLowering(NativeLowering):
    """numba's step from types to LLVM."""

    _name = "short_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return ShortLower
