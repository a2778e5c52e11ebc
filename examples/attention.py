#!/usr/bin/env python3
"""The worked example with nothing but Python's standard library: as JSON, and as a safetensors file.

    python3 attention.py [server]
"""

import json
import struct
import sys
import urllib.request

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
JSON, SAFETENSORS = "application/json", "application/x-safetensors"
TOKENS = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def post(body: bytes, content_type: str) -> bytes:
    headers = {"content-type": content_type, "accept": content_type}
    request = urllib.request.Request(SERVER + "/v1/attention", body, headers)
    with urllib.request.urlopen(request) as response:
        return response.read()


def write_file(tensors: dict, metadata: dict) -> bytes:
    """A safetensors file of float32 matrices: 8 bytes of header length, the header, the numbers."""
    header, data = {"__metadata__": metadata}, b""
    for name, rows in tensors.items():
        packed = struct.pack(f"<{len(rows) * len(rows[0])}f", *(x for row in rows for x in row))
        offsets = [len(data), len(data) + len(packed)]
        header[name] = {"dtype": "F32", "shape": [len(rows), len(rows[0])], "data_offsets": offsets}
        data += packed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def read_file(file: bytes) -> tuple[dict, dict]:
    """The matrices of a safetensors answer by name, and the rest of it."""
    (length,) = struct.unpack("<Q", file[:8])
    header = json.loads(file[8 : 8 + length])
    rest = json.loads(header.pop("__metadata__")["response"])
    tensors = {}
    for name, entry in header.items():
        (start, end), (rows, columns) = entry["data_offsets"], entry["shape"]
        numbers = struct.unpack(f"<{rows * columns}f", file[8 + length + start : 8 + length + end])
        tensors[name] = [list(numbers[row * columns : (row + 1) * columns]) for row in range(rows)]
    return tensors, rest


def show(name: str, matrix: list) -> None:
    print(name)
    for row in matrix:
        print("  " + " ".join(f"{x:9.6f}" for x in row))


options = {"return": ["output", "weights"]}
request = {"q": TOKENS, "k": TOKENS, "v": TOKENS, **options, "backward": {"target": TOKENS}}
answer = json.loads(post(json.dumps(request).encode(), JSON))
print(f"loss {answer['loss']:.6f}")
show("weights", answer["weights"])
show("gradient of v", answer["grads"]["v"])

tensors = {"q": TOKENS, "k": TOKENS, "v": TOKENS, "backward.target": TOKENS}
binary, rest = read_file(post(write_file(tensors, {"request": json.dumps(options)}), SAFETENSORS))
show("gradient of q, by way of safetensors", binary["grads.q"])
assert abs(rest["loss"] - answer["loss"]) < 1e-6
