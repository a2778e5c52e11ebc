"""The client beside a server: every call, arrays of every kind, errors, frames."""

import numpy
import pytest
from attention_server import AttentionMismatch, AttentionServerError, Client, assert_attention_close
from attention_server.wire import SAFETENSORS_TYPE, decode, encode

random = numpy.random.default_rng(1)


def draw(*shape: int) -> numpy.ndarray:
    return random.standard_normal(shape).astype(numpy.float32)


def softmax_attention(q, k, v):
    scores = (q.astype(float) @ k.astype(float).swapaxes(-1, -2)) / numpy.sqrt(q.shape[-1])
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights, weights @ v.astype(float)


Q, K, V = draw(1, 2, 5, 4), draw(1, 2, 6, 4), draw(1, 2, 6, 3)


def test_attention(client: Client) -> None:
    answer = client.attention(q=Q, k=K, v=V, return_=["output", "weights"], backward={"target": draw(1, 2, 5, 3)})
    weights, output = softmax_attention(Q, K, V)
    assert answer.output.dtype == numpy.float32
    numpy.testing.assert_allclose(answer.output, output, atol=1e-6)
    numpy.testing.assert_allclose(answer["weights"], weights, atol=1e-6)
    assert answer.grads.q.shape == Q.shape and answer["grads.k"].shape == K.shape
    assert answer.loss > 0
    assert {"output", "weights", "loss", "grads.q"} <= set(answer)
    with pytest.raises(AttributeError, match="entropy: the answer has loss, output"):
        answer.entropy


def test_lists_and_options(client: Client) -> None:
    answer = client.attention(q=[[1, 0]], k=[[1, 0], [0, 1]], v=[[1], [2]], mask=[[0, float("-inf")]])
    assert numpy.asarray(answer.output).tolist() == [[1]]
    padded = client.attention(q=Q, k=K, v=V, kv_lengths=[3], window={"left": 2}, layout=None)
    assert padded.output.shape == (1, 2, 5, 3)


def test_dtypes(client: Client) -> None:
    _, output = softmax_attention(Q, K, V)
    for dtype in (numpy.float64, numpy.float16):
        answer = client.attention(q=Q.astype(dtype), k=K.astype(dtype), v=V.astype(dtype), precision="float64")
        numpy.testing.assert_allclose(answer.output, output, atol=2e-3)
    strided = client.attention(q=Q[:, :, ::-1], k=K, v=V)
    numpy.testing.assert_allclose(strided.output, output[:, :, ::-1], atol=1e-6)
    masked = client.attention(q=Q, k=K, v=V, mask=numpy.ones((5, 6), bool), output_dtype="bfloat16")
    numpy.testing.assert_allclose(masked.output, output, atol=2e-2)


def test_torch(client: Client) -> None:
    torch = pytest.importorskip("torch")
    q, k, v = (torch.from_numpy(x).to(torch.bfloat16) for x in (Q, K, V))
    answer = client.attention(q=q.requires_grad_(), k=k, v=v)
    assert answer.output.shape == (1, 2, 5, 3)


def test_layers(client: Client) -> None:
    x = draw(2, 3, 4)
    params = {name: draw(4, 4) for name in ("w_q", "w_k", "w_v", "w_o")}
    single = client.self_attention(x=x, params={name: params[name] for name in ("w_q", "w_k", "w_v")})
    assert single.output.shape == (2, 3, 4)
    several = client.multi_head_attention(x=x, heads=2, params=params, backward={"grad_output": x})
    assert several.grads["params.w_o"].shape == (4, 4)
    stack = {"layers": 2, "heads": 2, "init": {"seed": 1}}
    whole = client.transformer(stack=stack, x=x, return_=["output", "weights"])
    assert whole["layers.1.weights"].shape == (2, 2, 3, 3)


def test_compare(client: Client) -> None:
    _, output = softmax_attention(Q, K, V)
    body = {"q": Q, "k": K, "v": V}
    report = client.compare(body, {"output": output.astype(numpy.float32)})
    assert report.passed and report.verdict == "pass" and report.diagnosis == []
    assert report.raise_for_verdict() is report
    wrong = client.compare({**body, "causal": True}, {"output": output.astype(numpy.float32)}, top=2)
    assert not wrong.passed
    assert wrong.diagnosis[0]["change"] == {"causal": False}
    with pytest.raises(AttentionMismatch, match="causal mask") as raised:
        wrong.raise_for_verdict()
    assert raised.value.report is wrong
    assert len(wrong.tensors["output"]["worst"]) == 2
    half = client.compare(body, {"output": output.astype(numpy.float16)})
    assert half.passed


def test_assert_attention_close(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, output = softmax_attention(Q, K, V)
    body = {"q": Q, "k": K, "v": V}
    assert assert_attention_close(output.astype(numpy.float32), body=body, url=url).passed
    monkeypatch.setenv("ATTENTION_SERVER_URL", url)
    assert_attention_close({"output": output.astype(numpy.float32)}, body=body)
    with pytest.raises(AssertionError, match="output: fail"):
        assert_attention_close((output + 0.01).astype(numpy.float32), body=body, diagnose=False)
    monkeypatch.delenv("ATTENTION_SERVER_URL")
    with pytest.raises(RuntimeError, match="ATTENTION_SERVER_URL"):
        assert_attention_close(output, body=body)


def test_gradient_check(client: Client) -> None:
    report = client.gradient_check(
        {"q": Q, "k": K, "v": V, "backward": {"grad_output": draw(1, 2, 5, 3)}}, entries=4, directions=1
    )
    assert report.passed and set(report.inputs) == {"q", "k", "v"}
    assert len(report.inputs["q"]["checks"]) == 4


def test_plan(client: Client) -> None:
    plan = client.plan({"q": Q, "k": K, "v": {"shape": [1, 2, 6, 3]}})
    assert plan["shapes"] == {"output": [1, 2, 5, 3]}
    assert plan["admitted"] is True


def test_stream(client: Client) -> None:
    pytest.importorskip("websockets")
    frames = list(
        client.stream(
            stack={"layers": 3, "heads": 2, "init": {"seed": 1}},
            x=draw(1, 4, 8),
            emit=["weights"],
        )
    )
    layers = [frame for frame in frames if frame["type"] == "layer"]
    assert [frame["index"] for frame in layers] == [0, 1, 2]
    assert layers[0]["tensors"]["weights"].shape == (1, 2, 4, 4)
    assert frames[-1]["type"] == "done" and frames[-1]["tensors"]["output"].shape == (1, 4, 8)
    with pytest.raises(AttentionServerError, match="heads"):
        list(client.stream(stack={"layers": 1, "heads": 3, "init": {}}, x=draw(1, 4, 8)))


def test_errors(client: Client) -> None:
    with pytest.raises(AttentionServerError) as raised:
        client.attention(q=Q, k=K[:, :, :, :2], v=V)
    assert (raised.value.status, raised.value.code) == (400, "SHAPE_MISMATCH")
    assert raised.value.errors[0]["path"].startswith("/k")


def test_wire() -> None:
    body, kind = encode({"a": {"b": numpy.float32([1, 2])}, "c": numpy.float64(0.5), "d": None, "e": [float("nan")]})
    assert kind == SAFETENSORS_TYPE
    tensors, rest = decode(body, kind, "request")
    assert tensors["a.b"].tolist() == [1, 2] and rest == {"c": 0.5, "e": ["NaN"]}
    assert encode({"causal": True}) == (b'{"causal": true}', "application/json")


def test_example(url: str) -> None:
    from tiled_kernel import check

    assert check(url).passed
    assert not check(url, rescales=False).passed
