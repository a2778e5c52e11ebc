#!/usr/bin/env python3
"""ONNX's own cases of the operators that the service computes, as ONNX tests a backend by them.

    python3 make-cases.py        needs onnx 1.23 with ml_dtypes; writes cases.json and one safetensors file an operator beside itself

Each case is a model of one node, its inputs and the outputs that ONNX expects. The `_expanded` twins say the same by other
operators on the same data, and are left out. Names of inputs and outputs are the operator's own (`onnx.defs`), not those that a
case gives them; an input or output that a case leaves out is left out here. A tensor that several cases have stands once: all
of them draw from one seed. Types stay what they are.
"""

import json
import pathlib
import re
import struct

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases

HERE = pathlib.Path(__file__).parent
OPERATORS = ["Attention", "LinearAttention", "RotaryEmbedding", "RMSNormalization", "LayerNormalization"]
DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "bool": "BOOL", "int32": "I32", "int64": "I64"}


class TensorFile:
    """A safetensors file in the making, whose tensors are named by the order in which they are first met."""

    def __init__(self):
        self.names, self.header, self.data = {}, {}, b""

    def name_of(self, array: np.ndarray) -> str:
        dtype, shape = DTYPES[array.dtype.name], list(array.shape)
        data = np.ascontiguousarray(array).tobytes()
        key = (dtype, *shape, data)
        if key not in self.names:
            name = self.names[key] = str(len(self.names))
            offsets = [len(self.data), len(self.data) + len(data)]
            self.header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            self.data += data
        return self.names[key]

    def write(self, path: pathlib.Path) -> None:
        header = json.dumps(self.header, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        path.write_bytes(struct.pack("<Q", len(header)) + header + self.data)


def file_name(operator: str) -> str:
    """RMSNormalization: rms-normalization."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", operator).lower()


def attribute(of: onnx.AttributeProto):
    value = onnx.helper.get_attribute_value(of)
    return value.decode() if isinstance(value, bytes) else value


def array_of(value) -> np.ndarray:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def side(given, formal, arrays, tensors: TensorFile) -> dict:
    """Of the inputs or outputs that a node names, the operator's names and the tensors. Those that it leaves out are ''."""
    names = [parameter.name for name, parameter in zip(given, formal) if name]
    assert len(names) == len(arrays)
    return {name: tensors.name_of(array_of(array)) for name, array in zip(names, arrays)}


def case_of(case, tensors: TensorFile) -> dict:
    (node,) = case.model.graph.node
    (opset,) = [each.version for each in case.model.opset_import if each.domain == ""]
    schema = onnx.defs.get_schema(node.op_type, opset)
    ((inputs, outputs),) = case.data_sets
    return {
        "name": case.name.removeprefix("test_"),
        "operator": node.op_type,
        "opset": opset,
        "attributes": {each.name: attribute(each) for each in node.attribute},
        "inputs": side(node.input, schema.inputs, inputs, tensors),
        "outputs": side(node.output, schema.outputs, outputs, tensors),
    }


def main() -> None:
    lines = []
    collected = [each for each in collect_testcases(None) if "_expanded" not in each.name]
    for operator in OPERATORS:
        tensors = TensorFile()
        found = [each for each in collected if [node.op_type for node in each.model.graph.node] == [operator]]
        lines += [json.dumps(case_of(case, tensors)) for case in found]
        tensors.write(HERE / f"{file_name(operator)}.safetensors")
        print(f"{operator}: {len(found)} cases, {len(tensors.names)} tensors, {len(tensors.data)} bytes")
    head = json.dumps({"onnx": onnx.__version__})[1:-1]
    cases = ",\n    ".join(lines)
    (HERE / "cases.json").write_text("{\n  " + head + f',\n  "cases": [\n    {cases}\n  ]\n}}\n')


main()
