"""A client of one server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import httpx

from .answer import Answer
from .report import GradientReport, Report
from .wire import JSON_TYPE, SAFETENSORS_TYPE, Array, decode, dtype_name, encode, is_array

CANDIDATE_DTYPES = ("float16", "bfloat16")


class AttentionServerError(Exception):
    """What the server has answered instead: its status, its code, and what is wrong where."""

    def __init__(self, status: int, code: str, detail: str, errors: list[dict[str, str]]):
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors


def _problem(response: httpx.Response) -> AttentionServerError:
    try:
        body = response.json()
    except ValueError:
        body = {}
    detail = body.get("detail", response.reason_phrase)
    return AttentionServerError(response.status_code, body.get("code", ""), detail, body.get("errors", []))


class Client:
    """
    ``Client("http://127.0.0.1:8080")``. ``key``: of a server that asks for one; default: the environment's
    ``ATTENTION_SERVER_KEY``. ``timeout``: seconds to wait for an answer.
    """

    def __init__(self, url: str, *, key: str | None = None, timeout: float = 600):
        self.url = url.rstrip("/")
        key = key or os.environ.get("ATTENTION_SERVER_KEY")
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(timeout=httpx.Timeout(timeout, connect=10), headers=self._headers)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def attention(self, *, q: Array, k: Array, v: Array, **fields: Any) -> Answer:
        """``POST /v1/attention``: `causal=True`, `backward={"grad_output": …}`, `return_=["output", "weights"]`, …"""
        return self._compute("/v1/attention", {"q": q, "k": k, "v": v, **fields})

    def self_attention(self, *, x: Array, **fields: Any) -> Answer:
        """``POST /v1/self-attention``, with `params` or `init`."""
        return self._compute("/v1/self-attention", {"x": x, **fields})

    def multi_head_attention(self, *, x: Array, **fields: Any) -> Answer:
        """``POST /v1/multi-head-attention``, with `heads`, and `params` or `init`."""
        return self._compute("/v1/multi-head-attention", {"x": x, **fields})

    def transformer(self, *, stack: Mapping[str, Any], x: Array, **fields: Any) -> Answer:
        """``POST /v1/transformer``."""
        return self._compute("/v1/transformer", {"stack": stack, "x": x, **fields})

    def compare(
        self,
        body: Mapping[str, Any],
        candidate: Mapping[str, Any],
        *,
        endpoint: str = "/v1/attention",
        **fields: Any,
    ) -> Report:
        """
        ``POST /v1/compare``: what a kernel has computed of `body` beside the float64 truth. `candidate` has the names of the answer
        (`output`, `logsumexp`, `grads`: {`q`: …}). `candidate_dtype` is that of the output, unless it is given.
        """
        if "candidate_dtype" not in fields:
            found = _dtype_of(candidate)
            if found in CANDIDATE_DTYPES:
                fields["candidate_dtype"] = found
        asked = {"endpoint": endpoint, "body": _fields(body), "candidate": candidate, **fields}
        return Report(self._json("/v1/compare", asked))

    def gradient_check(
        self, body: Mapping[str, Any], *, endpoint: str = "/v1/attention", **fields: Any
    ) -> GradientReport:
        """``POST /v1/gradient-check`` of a body with `backward`: `entries`, `directions`, `seed`."""
        return GradientReport(self._json("/v1/gradient-check", {"endpoint": endpoint, "body": _fields(body), **fields}))

    def plan(self, body: Mapping[str, Any], *, endpoint: str = "/v1/attention") -> dict[str, Any]:
        """``POST /v1/plan``: what such a request would take. Of arrays only shapes are sent; `{"shape": […]}` stands for one as well."""
        return self._json("/v1/plan", {"endpoint": endpoint, "body": _shapes(_fields(body))})

    def stream(self, **start: Any) -> Iterator[dict[str, Any]]:
        """
        ``GET /v1/stream``: starts a run and iterates its frames, a layer as soon as it is computed, up to `done`. Each is the message,
        with its arrays under their names in `tensors`. Needs `websockets` (``pip install attention-server-client[stream]``).
        """
        try:
            from websockets.sync.client import connect
        except ImportError as error:
            raise ImportError("stream needs websockets: pip install 'attention-server-client[stream]'") from error
        asked = {"type": "start", "id": "run", "encoding": "safetensors", **_fields(start)}
        body, kind = encode(asked)
        url = f"ws{self.url.removeprefix('http')}/v1/stream"
        with connect(url, max_size=None, additional_headers=self._headers) as socket:
            socket.send(body if kind == SAFETENSORS_TYPE else body.decode())
            for message in socket:
                frame = _frame(message)
                type_ = frame.get("type")
                if type_ in ("error", "going_away"):
                    problem = frame.get("problem", {"code": type_})
                    raise AttentionServerError(
                        problem.get("status", 0),
                        problem.get("code", ""),
                        problem.get("detail", "the server ended the stream"),
                        problem.get("errors", []),
                    )
                yield frame
                if type_ in ("done", "cancelled"):
                    return
                if type_ == "layer":
                    socket.send(json.dumps({"type": "credit", "id": asked["id"], "add": 1}))

    def _compute(self, path: str, fields: Mapping[str, Any]) -> Answer:
        response = self._post(path, _fields(fields), SAFETENSORS_TYPE)
        tensors, rest = decode(response.content, response.headers["content-type"])
        return Answer({**_flat(rest), **tensors})

    def _json(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._post(path, fields, JSON_TYPE).json()
        return answer

    def _post(self, path: str, fields: Mapping[str, Any], accept: str) -> httpx.Response:
        body, kind = encode(fields)
        headers = {"content-type": kind, "accept": accept}
        response = self._http.post(self.url + path, content=body, headers=headers)
        if response.status_code != 200:
            raise _problem(response)
        return response


def _fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`return_` is how Python writes `return`."""
    return {("return" if name == "return_" else name): value for name, value in fields.items()}


def _dtype_of(candidate: Mapping[str, Any]) -> str | None:
    for value in candidate.values():
        if is_array(value):
            return dtype_name(value)
        if isinstance(value, Mapping):
            found = _dtype_of(value)
            if found is not None:
                return found
    return None


def _shapes(value: Any) -> Any:
    if is_array(value):
        dtype = dtype_name(value)
        return {"shape": list(value.shape), **({"dtype": dtype} if dtype in ("bool", "float32", "float64") else {})}
    if isinstance(value, Mapping):
        return {name: _shapes(member) for name, member in value.items() if member is not None}
    return value


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Numbers of an answer under the names that they have in it."""
    flat: dict[str, Any] = {}
    for name, member in value.items():
        if isinstance(member, Mapping):
            flat.update(_flat(member, f"{prefix}{name}."))
        else:
            flat[prefix + name] = member
    return flat


def _frame(message: str | bytes) -> dict[str, Any]:
    if isinstance(message, str):
        told: dict[str, Any] = json.loads(message)
        return told
    tensors, frame = decode(message, SAFETENSORS_TYPE, "frame")
    return {**frame, "tensors": {name.removeprefix("tensors."): value for name, value in tensors.items()}}
