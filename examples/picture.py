#!/usr/bin/env python3
"""Draws the README's picture: the attention maps of four heads and their gradients, as the server computes them.

    python3 picture.py [server] > attention.svg
"""

import json
import math
import sys
import urllib.request

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
HEADS, LENGTH, DIM, CELL, GAP = 4, 24, 8, 8, 26


def tensor(seed: float) -> list:
    wave = lambda h, i, d: 1.6 * math.sin(seed * (h + 1) + 0.9 * i * (d + 1) / (h + 2)) + math.cos(i - d * seed)
    return [[[[wave(h, i, d) for d in range(DIM)] for i in range(LENGTH)] for h in range(HEADS)]]


request = {
    "q": tensor(0.3),
    "k": tensor(0.7),
    "v": tensor(1.1),
    "mask": [[[[0.0] * LENGTH] * LENGTH] * HEADS],
    "causal": True,
    "alibi": True,
    "return": ["weights"],
    "backward": {"target": tensor(1.9), "wrt": ["mask"]},
}
body = json.dumps(request).encode()
post = urllib.request.Request(SERVER + "/v1/attention", body, {"content-type": "application/json"})
answer = json.loads(urllib.request.urlopen(post).read())
weights, grads = answer["weights"][0], answer["grads"]["mask"][0]

side = LENGTH * CELL
width, height = HEADS * (side + GAP) + GAP + 70, 2 * (side + 34) + 20
svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">']
svg.append('<title>Attention weights of four causal heads with ALiBi, and the gradients of their scores</title>')
svg.append('<style>text{font:12px system-ui,sans-serif;fill:#57606a}</style>')
svg.append(f'<rect width="{width}" height="{height}" fill="#ffffff"/>')


def draw(matrix: list, x: int, y: int, colour) -> None:
    svg.append(f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="#f6f8fa" stroke="#d0d7de"/>')
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if j <= i:
                fill = colour(value)
                svg.append(f'<rect x="{x + j * CELL}" y="{y + i * CELL}" width="{CELL}" height="{CELL}" fill="{fill}"/>')


def blend(share: float, to: tuple) -> str:
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in to)


for h in range(HEADS):
    x = 70 + h * (side + GAP)
    peak = max(abs(g) for row in grads[h] for g in row)
    svg.append(f'<text x="{x}" y="16">head {h}</text>')
    draw(weights[h], x, 24, lambda p: blend(math.sqrt(p), (9, 105, 218)))
    red_or_green = lambda g: blend(math.sqrt(abs(g) / peak), (207, 34, 46) if g > 0 else (26, 127, 55))
    draw(grads[h], x, 24 + side + 34, red_or_green)
svg.append('<text x="6" y="120">weights</text>')
svg.append(f'<text x="6" y="{24 + side + 34 + 90}">gradient</text><text x="6" y="{24 + side + 34 + 106}">of scores</text>')
svg.append("</svg>")
print("\n".join(svg))
