"""A pretended GPU: its tensors keep their numbers on the CPU, but do not mix with those of the CPU and have no `numpy`.

Code that passes here builds no tensor on the wrong device. torch takes the device for `meta`, which has no memory.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_ACROSS = {_aten.copy_.default, _aten._to_copy.default}
_INDEXED = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}  # integers may be on the CPU
_tensor = torch.tensor


class Remote(Tensor):
    """A tensor on the pretended device; `inner` holds its numbers."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Remote":
        strided = {}
        if inner.layout is torch.strided:
            strided = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=DEVICE, **strided)
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _call(func, args, kwargs or {})

    def __getitem__(self, index: Any) -> Tensor:
        parts = tuple(
            _tensor(p) if isinstance(p, list) else p for p in (index if isinstance(index, tuple) else [index])
        )
        return super().__getitem__(parts)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a tensor of another device has no numpy: use .cpu()")

    __array__ = numpy


class _Factories(TorchDispatchMode):
    """Makes new tensors on the pretended device."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # loading it takes seconds, and nothing here is compiled

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _call(func, args, kwargs or {})


def _bare(thing: Any) -> Any:
    if isinstance(thing, Remote):
        return thing.inner
    return type(thing)(map(_bare, thing)) if isinstance(thing, (list, tuple)) else thing


def _remote(thing: Any) -> Any:
    if isinstance(thing, Tensor):
        return Remote(thing)
    return type(thing)(map(_remote, thing)) if isinstance(thing, (list, tuple)) else thing


def _tensors(things: Iterable[Any]) -> Iterator[Tensor]:
    for thing in things:
        if isinstance(thing, Tensor):
            yield thing
        elif isinstance(thing, (list, tuple)):
            yield from _tensors(thing)


@cache
def _written(func: Any) -> int | None:
    """Which argument an operation writes and returns."""
    places = [k for k, a in enumerate(func._schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    return places[0] if places and func._schema.returns and not func._schema.arguments[places[0]].kwarg_only else None


def _call(func: Any, args: tuple, kwargs: dict) -> Any:
    """An operation of torch, on either device."""
    device = kwargs.get("device")
    given = list(_tensors(args))
    remote = [t for t in given if isinstance(t, Remote)]
    there = bool(remote) if device is None else torch.device(device) == DEVICE
    if not remote and not there:
        return func(*args, **kwargs)
    local = [t for t in given if not isinstance(t, Remote) and t.dim() > 0]
    indices = func in _INDEXED and isinstance(args[0], Remote) and all(t.dtype is torch.int64 for t in local)
    if remote and local and func not in _ACROSS and not indices:
        raise RuntimeError(f"{func}: tensors on two devices, of shape {[*local[0].shape]} on the CPU")
    if device is not None:
        kwargs = kwargs | {"device": torch.device("cpu")}
    if func is _aten._efficientzerotensor.default:
        func = _aten.zeros.default  # the other has no memory
    out = kwargs.get("out")
    result = func(*map(_bare, args), **{name: _bare(value) for name, value in kwargs.items()})
    if out is not None:
        return out
    if (place := _written(func)) is not None:
        return args[place]
    if func is _aten._to_copy.default and not there:
        return result.clone()
    return _remote(result) if there else result


def _made(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`torch.tensor`, which would leave the memory of a tensor on `meta` empty."""
    return _tensor(data, dtype=dtype).to(device or "cpu").requires_grad_(requires_grad)


def _made_like(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(data, dtype=dtype or self.dtype, device=device or self.device)


@contextmanager
def pretended() -> Iterator[None]:
    """Gives device=cuda and device=auto the pretended device."""
    place = lambda name: torch.device("cpu") if name == "cpu" else DEVICE  # noqa: E731
    with (
        mock.patch("wgf.assemble.device_of", place),
        mock.patch("torch.tensor", _made),
        mock.patch("torch.Tensor.new_tensor", _made_like),
        _Factories(),
    ):
        yield
