"""What a kernel's own tests say in one line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .client import Client
from .report import Report
from .wire import Array

URL_VARIABLE = "ATTENTION_SERVER_URL"


def assert_attention_close(
    candidate: Array | Mapping[str, Any],
    *,
    body: Mapping[str, Any],
    url: str | None = None,
    **fields: Any,
) -> Report:
    """
    Raises AttentionMismatch (an AssertionError), with the figures and the reason, where a kernel is further from the float64 truth
    than its dtype explains. `candidate`: its output, or a dictionary (`output`, `logsumexp`, `grads`: {`q`: …}); `body`: the request
    that it answers; `fields`: those of ``Client.compare``. Without `url` the server is that of the environment's ATTENTION_SERVER_URL.
    """
    server = url or os.environ.get(URL_VARIABLE)
    if not server:
        raise RuntimeError(
            f"assert_attention_close needs a server: set {URL_VARIABLE}, or pass url=… (`npx attention-server serve` starts one)"
        )
    named = candidate if isinstance(candidate, Mapping) else {"output": candidate}
    with Client(server) as client:
        return client.compare(body, named, **fields).raise_for_verdict()
