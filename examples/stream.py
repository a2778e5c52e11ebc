#!/usr/bin/env python3
"""A transformer stack layer by layer with nothing but Python's standard library: every head's map as a picture in
characters while the layers come, then one full map on request. WebSocket (RFC 6455) takes sixty lines. Where the server shuts
down, the run goes on on another one behind the same address.

    python3 stream.py [server]
"""

import base64
import json
import math
import os
import socket
import struct
import sys
import time
from urllib.parse import urlsplit

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
LAYERS, HEADS, TOKENS, D_MODEL, SIZE = 4, 4, 60, 32, 12
SHADES = " .:-=+*#%@"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """A client's side: messages out, messages in, pings answered."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80))
        self.incoming = self.socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        status = self.incoming.readline().decode()
        if " 101 " not in status:
            raise ConnectionError(f"no WebSocket at {url}: {status.strip()}")
        while self.incoming.readline().strip():
            pass

    def send(self, payload: bytes, kind: int = TEXT) -> None:
        """One frame; what a client sends is masked."""
        length = len(payload)
        head = bytes([0x80 | kind])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 1 << 16:
            head += struct.pack(">BH", 0x80 | 126, length)
        else:
            head += struct.pack(">BQ", 0x80 | 127, length)
        mask = os.urandom(4)
        stream = (mask * (length // 4 + 1))[:length]
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
        self.socket.sendall(head + mask + masked.to_bytes(length, "big"))

    def receive(self) -> bytes | None:
        """The next message, put together from its fragments; None when the server has closed."""
        message = b""
        while True:
            first, second = self.incoming.read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.incoming.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.incoming.read(8))
            payload = self.incoming.read(length)
            kind = first & 0x0F
            if kind == CLOSE:
                return None
            if kind == PING:
                self.send(payload, PONG)
            elif kind != PONG:
                message += payload
                if first & 0x80:
                    return message

    def close(self) -> None:
        self.send(struct.pack(">H", 1000), CLOSE)
        while self.receive() is not None:
            pass
        self.socket.close()


def pictures(thumbnails: dict) -> list[str]:
    """The heads' thumbnails [heads, rows, columns] beside each other, darker where more is attended."""
    heads, rows, columns = thumbnails["shape"]
    pixels = base64.b64decode(thumbnails["base64"])
    lines = []
    for row in range(rows):
        maps = []
        for head in range(heads):
            at = (head * rows + row) * columns
            line = "".join(SHADES[(byte * 9 + 254) // 255] * 2 for byte in pixels[at : at + columns])
            maps.append(line)
        lines.append(" | ".join(maps))
    return lines


def connect(tries: int = 8) -> WebSocket:
    """The first server that takes it: one that shuts down takes none."""
    for attempt in range(tries):
        try:
            return WebSocket(SERVER + "/v1/stream")
        except OSError:
            if attempt == tries - 1:
                raise
            time.sleep(0.05 * 2**attempt)
    raise AssertionError


def main() -> None:
    stream = connect(1)

    def send(**message: object) -> None:
        stream.send(json.dumps(message).encode())

    start = dict(
        type="start",
        id="example",
        stack={
            "layers": LAYERS,
            "heads": HEADS,
            "causal": True,
            "position": "alibi",
            "init": {"seed": 3},
        },
        x=[[math.sin(t * (d + 1) * 0.7) for d in range(D_MODEL)] for t in range(TOKENS)],
        emit=["weights"],
        detail={"max_size": SIZE},
        encoding="base64",
        credit=1,
    )
    send(**start)
    while (payload := stream.receive()) is not None:
        message = json.loads(payload)
        if message["type"] == "layer":
            print(f"layer {message['index']}, {message['timing']['at']:.1f} ms")
            print("\n".join(pictures(message["tensors"]["weights"])))
            send(type="credit", id="example", add=1)
        elif message["type"] == "going_away":
            # the same start, from the layer at which it stands here: the frames are the same to the bit
            resume = [run for run in message.get("resume", []) if run["id"] == "example"]
            stream.close()
            stream = connect()
            send(**start, **({"resume": resume[0]} if resume else {}))
        elif message["type"] == "done":
            print(f"done in {message['timing']['total']:.0f} ms")
            send(type="fetch", id="example", layer=LAYERS - 1, head=0, tensor="weights")
        elif message["type"] == "map":
            values = message["values"]
            row = struct.unpack_from(f"<{TOKENS}f", base64.b64decode(values["base64"]), (TOKENS - 1) * TOKENS * 4)
            best = sorted(range(TOKENS), key=lambda key: -row[key])[:5]
            shares = ", ".join(f"{key} ({row[key]:.0%})" for key in best)
            print(f"layer {LAYERS - 1}, head 0: the last of {TOKENS} tokens attends most to {shares}; sum {sum(row):.4f}")
            send(type="release", id="example")
            stream.close()
            break
        elif message["type"] == "error":
            raise SystemExit(f"{message['problem']['code']}: {message['problem']['detail']}")


main()
