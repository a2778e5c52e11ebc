#!/usr/bin/env python3
"""Trains a two-layer causal transformer to copy, with nothing but Python's standard library and POST /v1/transformer.

    python3 train_copy.py [server] [--svg picture.svg]

A sequence is eight random letters, a separator, and the same letters again. From the separator on the model must say the
next letter, which it can only know by looking back at the first copy. The service computes the stack and its gradients;
the embedding, the readout, the cross-entropy and Adam live here. The gradient of the loss reaches the stack as
`backward.grad_output`, and that of the embedding comes back as `grads.x`. In the end the attention map shows what was
learned: a diagonal, every position of the second copy looking at the letter in the first that it must say next.
"""

import argparse
import http.client
import json
import math
import random
import struct
import urllib.parse

LETTERS, SEPARATOR = "abcdefgh", "|"
TOKENS = LETTERS + SEPARATOR
LENGTH = 8
POSITIONS = 2 * LENGTH + 1
FIRST, LAST = LENGTH, 2 * LENGTH  # positions FIRST … LAST − 1 say the letter that follows them
D_MODEL, BATCH, MOST_STEPS = 16, 16, 600
BOUND = 0.02  # nats a letter; knowing nothing costs ln 8 = 2.08
STACK = {
    "layers": 2, "heads": 2, "d_model": D_MODEL, "d_ff": 32, "norm": "pre", "activation": "gelu",
    "position": "sinusoidal", "causal": True,
}  # fmt: skip


class Service:
    """POST /v1/transformer with safetensors both ways; a tensor is (shape, flat list of numbers)."""

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)

    def transformer(self, tensors: dict, request: dict) -> dict:
        kind = "application/x-safetensors"
        headers = {"content-type": kind, "accept": kind}
        self.connection.request("POST", "/v1/transformer", write_file(tensors, request), headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(answer.decode())
        return read_file(answer)


def write_file(tensors: dict, request: dict) -> bytes:
    header, data = {"__metadata__": {"request": json.dumps(request)}}, bytearray()
    for name, (shape, numbers) in tensors.items():
        start = len(data)
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def read_file(file: bytes) -> dict:
    (length,) = struct.unpack_from("<Q", file)
    header = json.loads(file[8 : 8 + length])
    header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        numbers = struct.unpack_from(f"<{(end - start) // 4}f", file, 8 + length + start)
        tensors[name] = (entry["shape"], list(numbers))
    return tensors


class Adam:
    """Kingma & Ba 2015, over tensors by name."""

    def __init__(self, rate: float, decay1: float = 0.9, decay2: float = 0.99):
        self.rate, self.decay1, self.decay2 = rate, decay1, decay2
        self.step, self.moments = 0, {}

    def update(self, parameters: dict, gradients: dict) -> None:
        self.step += 1
        d1, d2 = self.decay1, self.decay2
        rate = self.rate * math.sqrt(1 - d2**self.step) / (1 - d1**self.step)
        for name, (_, gradient) in gradients.items():
            shape, values = parameters[name]
            m, v = self.moments.get(name) or ([0.0] * len(values), [0.0] * len(values))
            m = [d1 * a + (1 - d1) * g for a, g in zip(m, gradient)]
            v = [d2 * b + (1 - d2) * g * g for b, g in zip(v, gradient)]
            self.moments[name] = m, v
            parameters[name] = shape, [w - rate * a / (math.sqrt(b) + 1e-8) for w, a, b in zip(values, m, v)]


class Model:
    """The stack's parameters as the service drew them, and an embedding and a readout, which live here."""

    def __init__(self, service: Service, draw: random.Random):
        self.service = service
        init = {"scheme": "xavier_uniform", "seed": 7, "bias": True}
        x = {"x": ([0, D_MODEL], [])}
        answer = service.transformer(x, {"stack": {**STACK, "init": init}, "return": ["params"]})
        self.parameters = {f"stack.{name}": tensor for name, tensor in answer.items()}
        for name, rows in (("embedding", len(TOKENS)), ("readout", len(LETTERS))):
            normal = [draw.gauss(0, 1 / math.sqrt(D_MODEL)) for _ in range(rows * D_MODEL)]
            self.parameters[name] = [rows, D_MODEL], normal

    def tensors(self, batch: list) -> dict:
        _, embedding = self.parameters["embedding"]
        x = [number for sequence in batch for t in sequence for number in row(embedding, t)]
        stack = {name: tensor for name, tensor in self.parameters.items() if name.startswith("stack.")}
        return {"x": ([len(batch), POSITIONS, D_MODEL], x), **stack}

    def forward(self, batch: list, returns: list) -> dict:
        return self.service.transformer(self.tensors(batch), {"stack": STACK, "return": returns})

    def gradients(self, batch: list) -> tuple:
        """The loss of a batch and its gradients by every parameter."""
        _, output = self.forward(batch, ["output"])["output"]
        loss, grad_output, grad_readout = self.cross_entropy(batch, output)
        tensors = {**self.tensors(batch), "backward.grad_output": ([len(batch), POSITIONS, D_MODEL], grad_output)}
        answer = self.service.transformer(tensors, {"stack": STACK, "return": []})
        gradients = {
            name.replace("grads.", "stack.", 1): tensor
            for name, tensor in answer.items()
            if name.startswith("grads.params.")
        }
        shape, _ = self.parameters["embedding"]
        grad_embedding = [0.0] * (len(TOKENS) * D_MODEL)
        for at, t in enumerate(t for sequence in batch for t in sequence):
            add(grad_embedding, t, row(answer["grads.x"][1], at), 1)
        gradients["embedding"] = shape, grad_embedding
        gradients["readout"] = self.parameters["readout"][0], grad_readout
        return loss, gradients

    def cross_entropy(self, batch: list, output: list) -> tuple:
        """Mean over the letters to be said, and its gradients by the stack's output and by the readout."""
        _, readout = self.parameters["readout"]
        loss, count = 0.0, len(batch) * LENGTH
        grad_output, grad_readout = [0.0] * len(output), [0.0] * len(readout)
        letters = [row(readout, letter) for letter in range(len(LETTERS))]
        for b, sequence in enumerate(batch):
            for position in range(FIRST, LAST):
                at, target = b * POSITIONS + position, sequence[position + 1]
                y = row(output, at)
                probabilities = softmax([sum(map(float.__mul__, y, letter)) for letter in letters])
                loss -= math.log(probabilities[target]) / count
                for letter, probability in enumerate(probabilities):
                    slope = (probability - (letter == target)) / count
                    add(grad_output, at, letters[letter], slope)
                    add(grad_readout, letter, y, slope)
        return loss, grad_output, grad_readout


def row(matrix: list, index: int) -> list:
    return matrix[index * D_MODEL : (index + 1) * D_MODEL]


def add(matrix: list, index: int, numbers: list, factor: float) -> None:
    for column, number in enumerate(numbers, index * D_MODEL):
        matrix[column] += factor * number


def softmax(scores: list) -> list:
    most = max(scores)
    exponentials = [math.exp(score - most) for score in scores]
    total = sum(exponentials)
    return [exponential / total for exponential in exponentials]


def sequence_of(draw: random.Random) -> list:
    letters = [draw.randrange(len(LETTERS)) for _ in range(LENGTH)]
    return [*letters, len(LETTERS), *letters]


def train(model: Model, draw: random.Random) -> float:
    """Until a batch of sequences never seen before costs less than BOUND; returns what it costs."""
    adam = Adam(rate=0.01)
    for step in range(MOST_STEPS + 1):
        loss, gradients = model.gradients([sequence_of(draw) for _ in range(BATCH)])
        if step % 25 == 0 or loss < BOUND:
            print(f"step {step:3}  loss {loss:.4f}", flush=True)
        if loss < BOUND:
            return loss
        adam.update(model.parameters, gradients)
    raise SystemExit(f"expected a loss below {BOUND} after {MOST_STEPS} steps, got {loss:.4f}")


def maps_of(model: Model, sequence: list) -> dict:
    """Every head's map, as rows, by (layer, head)."""
    answer = model.forward([sequence], ["weights"])
    maps = {}
    for layer in range(STACK["layers"]):
        (_, heads, n, m), weights = answer[f"layers.{layer}.weights"]
        for head in range(heads):
            rows = [weights[(head * n + i) * m : (head * n + i + 1) * m] for i in range(n)]
            maps[layer, head] = rows
    return maps


def copying(rows: list) -> float:
    """How much of its attention a position that says a letter pays to that letter: the mean along the diagonal."""
    return sum(rows[position][position - LENGTH] for position in range(FIRST, LAST)) / LENGTH


def print_map(rows: list, text: str) -> None:
    print("    " + " ".join(text))
    for label, weights in zip(text, rows):
        print(f"  {label} " + " ".join(" .:-=+*#%@"[min(9, int(10 * weight))] for weight in weights))


def write_svg(path: str, maps: dict, text: str) -> None:
    """Every head's map beside the others: a square's darkness is its weight."""
    cell, gap = 14, 40
    side = cell * len(text)
    parts = []
    for index, ((layer, head), rows) in enumerate(maps.items()):
        parts.append(f'<g transform="translate({gap + index * (side + gap)} {gap})">')
        parts.append(f'<text y="-22">layer {layer}, head {head}</text>')
        for i, label in enumerate(text):
            middle = cell * i + cell / 2
            parts.append(f'<text x="{middle}" y="-5" text-anchor="middle">{label}</text>')
            parts.append(f'<text x="-8" y="{middle + 4}" text-anchor="middle">{label}</text>')
        for i, weights in enumerate(rows):
            for j, weight in enumerate(weights):
                place = f'x="{cell * j}" y="{cell * i}" width="{cell}" height="{cell}"'
                parts.append(f'<rect {place} fill-opacity="{weight:.3f}"/>')
        parts.append(f'<rect width="{side}" height="{side}" style="fill:none;stroke:#888"/></g>')
    width, height = gap + len(maps) * (side + gap), side + gap + 20
    style = "text{font:11px monospace;fill:#222}rect{fill:#1f4e9c}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>{style}</style>'
    background = f'<rect width="{width}" height="{height}" style="fill:#fff"/>'
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([head, background, *parts, "</svg>\n"]))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("server", nargs="?", default="http://127.0.0.1:8080")
    arguments.add_argument("--svg", help="a file to draw every head's map into")
    options = arguments.parse_args()
    draw = random.Random(1)
    model = Model(Service(options.server), draw)
    loss = train(model, draw)
    sequence = sequence_of(draw)
    text = "".join(TOKENS[t] for t in sequence)
    maps = maps_of(model, sequence)
    (layer, head), rows = max(maps.items(), key=lambda item: copying(item[1]))
    print(f"loss {loss:.4f}; layer {layer}, head {head} copies: {copying(rows):.3f} of its attention is on the diagonal")
    print_map(rows, text)
    if options.svg:
        write_svg(options.svg, maps, text)


if __name__ == "__main__":
    main()
