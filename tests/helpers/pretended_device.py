"""A pretended GPU: its tensors keep their numbers on the CPU, but do not mix with those of the CPU and have no `numpy`.

Code that passes here builds no tensor on the wrong device. torch takes the device for `meta`, which has no memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

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

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("a tensor of another device has no numpy: use .cpu()")

    __array__ = numpy


class _Factories(TorchDispatchMode):
    """Makes new tensors on the pretended device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return _call(func, args, kwargs or {})


def _bare(t: Any) -> Any:
    return t.inner if isinstance(t, Remote) else t


def _call(func: Any, args: tuple, kwargs: dict) -> Any:
    """An operation of torch, on either device."""
    given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    local = [t for t in given if not isinstance(t, Remote) and t.dim() > 0]
    remote = [t for t in given if isinstance(t, Remote)]
    indices = func in _INDEXED and isinstance(args[0], Remote) and all(t.dtype is torch.int64 for t in local)
    if remote and local and func not in _ACROSS and not indices:
        raise RuntimeError(f"{func}: tensors on two devices, of shape {[*local[0].shape]} on the CPU")
    device, there = kwargs.get("device"), bool(remote)
    if device is not None:
        there = torch.device(device) == DEVICE
        kwargs = kwargs | {"device": torch.device("cpu")}
    if func is _aten._efficientzerotensor.default:
        func = _aten.zeros.default  # the other has no memory
    result = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
    written = [
        value
        for argument, value in zip(func._schema.arguments, args, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ] + ([kwargs["out"]] if "out" in kwargs else [])
    if written and func._schema.returns:
        return written[0]
    if func is _aten._to_copy.default and remote and not there:
        result = result.clone()
    return tree_map(lambda t: Remote(t) if there and isinstance(t, Tensor) else t, result)


def _made(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """`torch.tensor`, which would leave the memory of a tensor on `meta` empty."""
    return _tensor(data, dtype=dtype).to(device or "cpu").requires_grad_(requires_grad)


def _made_like(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return _made(data, dtype=dtype or self.dtype, device=device or self.device)


@contextmanager
def pretended() -> Iterator[None]:
    """Gives device=cuda the pretended device."""
    known: Callable[[str], torch.device] = torch.device
    place = lambda name: DEVICE if name.startswith("cuda") else known(name)  # noqa: E731
    with (
        mock.patch("wgf.assemble.device_of", place),
        mock.patch("torch.tensor", _made),
        mock.patch("torch.Tensor.new_tensor", _made_like),
        _Factories(),
    ):
        yield
