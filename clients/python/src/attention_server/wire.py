"""Requests with arrays → safetensors files, and back. Torch tensors are read without importing torch."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy
from safetensors.numpy import save

JSON_TYPE = "application/json"
SAFETENSORS_TYPE = "application/x-safetensors"

Array = Any
"""A numpy array, or what numpy makes an array of, or a torch tensor."""

# names of a file → numpy's
_DTYPES: dict[str, Any] = {
    "F64": numpy.float64,
    "F32": numpy.float32,
    "F16": numpy.float16,
    "I64": numpy.int64,
    "I32": numpy.int32,
    "U8": numpy.uint8,
    "BOOL": numpy.bool_,
}
_SENT = ("float64", "float32", "float16", "int64", "int32", "bool")


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def is_array(value: object) -> bool:
    """Whether a value of a request is a tensor of its file, rather than JSON."""
    return isinstance(value, numpy.ndarray) or _is_torch(value)


def dtype_name(value: Array) -> str:
    """`float32`, `bfloat16`, …"""
    return str(value.dtype).removeprefix("torch.")


def _sent(value: Array) -> "numpy.ndarray[Any, Any]":
    """As it is sent: what numpy has no type for is widened, which loses nothing."""
    if _is_torch(value):
        torch = sys.modules["torch"]
        tensor = value.detach().cpu()
        if tensor.dtype == torch.bfloat16 or "float8" in str(tensor.dtype):
            tensor = tensor.to(torch.float32)
        value = tensor.numpy()
    if value.dtype.name not in _SENT:
        value = value.astype(numpy.int64 if value.dtype.kind in "iu" else numpy.float32)
    # of rank 0, too
    return numpy.ascontiguousarray(value).reshape(value.shape)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinities: they are strings."""
    if isinstance(value, numpy.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return value


def _split(value: Any, name: str, tensors: dict[str, numpy.ndarray[Any, Any]]) -> Any:
    """The request without its arrays, which go into `tensors` under their places."""
    if not isinstance(value, Mapping):
        return _plain(value)
    rest = {}
    for key, member in value.items():
        at = f"{name}.{key}" if name else str(key)
        if member is None:
            continue
        if is_array(member):
            tensors[at] = _sent(member)
            continue
        left = _split(member, at, tensors)
        if isinstance(member, Mapping) and member and not left:
            continue  # nothing but arrays
        rest[str(key)] = left
    return rest


def encode(request: Mapping[str, Any]) -> tuple[bytes, str]:
    """A body and its media type: a safetensors file where there are arrays."""
    tensors: dict[str, numpy.ndarray[Any, Any]] = {}
    rest = _split(request, "", tensors)
    text = json.dumps(rest, allow_nan=False)
    if not tensors:
        return text.encode(), JSON_TYPE
    return save(tensors, {"request": text}), SAFETENSORS_TYPE


def _array(entry: Mapping[str, Any], data: memoryview) -> "numpy.ndarray[Any, Any]":
    begin, end = entry["data_offsets"]
    own, shape = data[begin:end], entry["shape"]
    if entry["dtype"] == "BF16":
        wide = numpy.frombuffer(own, numpy.uint16).astype(numpy.uint32) << 16
        return wide.view(numpy.float32).reshape(shape)
    return numpy.frombuffer(own, _DTYPES[entry["dtype"]]).reshape(shape)


def decode(
    body: bytes, media_type: str, field: str = "response"
) -> tuple[dict[str, "numpy.ndarray[Any, Any]"], dict[str, Any]]:
    """The tensors of an answer by name (bfloat16, which safetensors.numpy does not read, as float32), and the rest of it."""
    if not media_type.startswith(SAFETENSORS_TYPE):
        rest: dict[str, Any] = json.loads(body)
        return {}, rest
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data = memoryview(body)[8 + length :]
    return {name: _array(entry, data) for name, entry in header.items()}, json.loads(metadata.get(field, "{}"))
