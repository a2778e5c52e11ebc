#!/usr/bin/env python3
"""
A flash-style kernel in NumPy, tile by tile with a running maximum, and how a server finds the mistake that is planted in it.

    npx attention-server serve &
    python examples/tiled_kernel.py [url]
"""

import sys

import numpy

from attention_server import Client, Report


def tiled_attention(q, k, v, *, tile=16, causal=False, rescales=True):
    """softmax(q·kᵀ/√d)·v in float32. `rescales=False` is the mistake: what came before a new maximum is not scaled down to it."""
    n, m, d = q.shape[2], k.shape[2], q.shape[3]
    largest = numpy.full((*q.shape[:3], 1), -numpy.inf, numpy.float32)
    total = numpy.zeros_like(largest)
    output = numpy.zeros((*q.shape[:3], v.shape[3]), numpy.float32)
    for begin in range(0, m, tile):
        keys = slice(begin, begin + tile)
        scores = q @ k[:, :, keys].swapaxes(2, 3) / numpy.float32(numpy.sqrt(d))
        if causal:
            hidden = numpy.arange(n)[:, None] < numpy.arange(m)[None, keys]
            scores = numpy.where(hidden, -numpy.inf, scores)
        before = largest
        largest = numpy.maximum(before, scores.max(-1, keepdims=True))
        factor = numpy.exp(before - largest) if rescales else numpy.where(numpy.isinf(before), 0, 1)
        weights = numpy.exp(scores - largest)
        total = total * factor + weights.sum(-1, keepdims=True)
        output = output * factor + weights @ v[:, :, keys]
    return (output / total).astype(numpy.float32)


def check(url: str, **how) -> Report:
    random = numpy.random.default_rng(0)
    q, k, v = random.standard_normal((3, 1, 2, 48, 16)).astype(numpy.float32)
    output = tiled_attention(q, k, v, causal=True, **how)
    with Client(url) as client:
        return client.compare({"q": q, "k": k, "v": v, "causal": True}, {"output": output})


def main(url: str = "http://127.0.0.1:8080") -> None:
    print("as it should be\n", check(url), sep="")
    print("\nwith the mistake\n", check(url, rescales=False), sep="")


if __name__ == "__main__":
    main(*sys.argv[1:])
