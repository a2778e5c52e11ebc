"""The inference client of KServe's SDK, unmodified, against a server whose host:port is the argument."""
import asyncio
import json
import math
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

BASE = f"http://{sys.argv[1]}"
random = np.random.default_rng(0)
Q, K, V = (random.standard_normal((2, 3, n, 8)) for n in (5, 7, 7))


def truth(q, k, v):
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    weights = np.exp(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]))
    return weights / weights.sum(-1, keepdims=True) @ v


def tensor(name, values, datatype, binary):
    made = InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def outputs(*names, binary):
    return [RequestedOutput(name, parameters={"binary_data": binary}) for name in names]


def request(dtype, datatype, binary, v=V, **more):
    tensors = zip("qkv", (Q, K, v))
    inputs = [tensor(name, x.astype(dtype), datatype, binary) for name, x in tensors]
    return InferRequest(model_name="attention", infer_inputs=inputs, **more)


async def check(client):
    assert await client.is_server_live(BASE) is True
    assert await client.is_server_ready(BASE) is True
    assert await client.is_model_ready(BASE, "attention") is True
    assert await client.is_model_ready(BASE, "none") is False
    # its JSON has no FP16
    for dtype, datatype, forms in ((np.float64, "FP64", (True, False)), (np.float32, "FP32", (True, False)), (np.float16, "FP16", (True,))):
        want = truth(*(x.astype(dtype) for x in (Q, K, V)))
        for binary in forms:
            answer = await client.infer(BASE, request(dtype, datatype, binary, request_id="one"), "attention")
            assert answer.id == "one" and [each.name for each in answer.outputs] == ["output"]
            np.testing.assert_allclose(answer.outputs[0].as_numpy(), want, rtol=1e-5, atol=1e-5)
            asked = request(dtype, datatype, binary, request_outputs=outputs("output", "weights", binary=binary))
            answer = await client.infer(BASE, asked, "attention")
            np.testing.assert_allclose(answer.outputs[0].as_numpy(), want, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(answer.outputs[1].as_numpy().sum(-1), 1, rtol=1e-5)

    # options
    options = {"causal": True, "request": json.dumps({"window": {"left": 0}})}
    answer = await client.infer(BASE, request(np.float32, "FP32", True, parameters=options), "attention")
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), V[:, :, :5], rtol=1e-6)

    # NaN and infinities, which its own JSON cannot write but reads from ours
    wild = V.copy()
    wild[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    for binary in (True, False):
        options = {"non_finite": "propagate"}
        asked = request(
            np.float32, "FP32", True, wild, parameters=options, request_outputs=outputs("output", binary=binary)
        )
        answer = await client.infer(BASE, asked, "attention")
        output = answer.outputs[0].as_numpy()
        assert np.isnan(output[0, 0, :, 0]).all() and (output[0, 0, :, 1] == np.inf).all()
        assert (output[0, 0, :, 2] == -np.inf).all()

    # nothing at all: it writes "data": null then
    none = [tensor(name, np.zeros((0, 3, 5, 8), np.float32), "FP32", True) for name in "qkv"]
    answer = await client.infer(BASE, InferRequest(model_name="attention", infer_inputs=none), "attention")
    assert answer.outputs[0].shape == [0, 3, 5, 8]

    # errors come with their text
    for binary in (True, False):
        wrong = request(np.float32, "FP32", binary, np.zeros((2, 3, 4, 8)))
        try:
            await client.infer(BASE, wrong, "attention")
            raise AssertionError("expected a refusal")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 400
            assert error.response.json()["code"] == "SHAPE_MISMATCH", error.response.text
            assert "/inputs/2" in str(error), error
    try:
        await client.infer(BASE, request(np.float32, "FP32", True), "none")
        raise AssertionError("expected a refusal")
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 404 and error.response.json()["error"] == "no model none"


async def main():
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        await check(client)


asyncio.run(main())
print("KServe SDK: passed")
