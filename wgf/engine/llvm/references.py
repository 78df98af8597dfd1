"""Named tuples in compiled code: functions pass the address of the place where the members are.

numba passes the members one by one, an array as seven numbers or more: more than 300 arguments for a flow.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import NativeValue, lower_getattr_generic, register_model, typeof_impl, unbox


class Reference(types.NamedTuple):
    """The type of the address of a named tuple. Its members stay what they are while code runs."""

    @property
    def tuple(self) -> types.NamedTuple:
        """The type of what is there."""
        return types.NamedTuple(self.types, self.instance_class)


@register_model(Reference)
class Model(PrimitiveModel):
    """Addresses in LLVM."""

    def __init__(self, manager: Any, kind: Reference) -> None:
        super().__init__(manager, kind, manager.lookup(kind.tuple).get_value_type().as_pointer())


def _at(builder: Any, place: Any, member: int) -> Any:
    """Address of a member."""
    return builder.gep(place, [ir.Constant(ir.IntType(32), k) for k in (0, member)], inbounds=True)


@unbox(Reference)
def _unbox(kind: Reference, value: Any, c: Any) -> Any:
    """Fill a place on the stack. Whether the members have these types, the first call has asked."""
    builder, failed = c.builder, cgutils.false_bit
    with builder.goto_entry_block():
        place = builder.alloca(c.context.get_value_type(kind).pointee)
    for k, member in enumerate(kind.types):
        given, at = c.pyapi.tuple_getitem(value, k), _at(builder, place, k)
        if isinstance(member, types.Array):
            status = c.pyapi.numba_array_adaptor(given, builder.bitcast(at, c.pyapi.voidptr))
            error = cgutils.is_not_null(builder, status)
        else:
            native = c.unbox(member, given)
            builder.store(native.value, at)
            error = native.is_error
        failed = builder.or_(failed, error)
    return NativeValue(place, failed)


@lower_getattr_generic(Reference)
def _member(context: Any, builder: Any, kind: Reference, place: Any, name: str) -> Any:
    """Read a member. LLVM may take it from an earlier time: the caller of an entry, which numba never inlines, fills
    the place."""
    found = builder.load(_at(builder, place, kind.fields.index(name)))
    found.set_metadata("invariant.load", builder.module.add_metadata([]))
    return found


def by_address(kind: Any) -> Any:
    """Decorator: compiled code gets named tuples of this kind by their addresses."""
    typeof_impl.register(kind)(lambda value, c: Reference([typeof_impl(each, c) for each in value], kind))
    return kind
