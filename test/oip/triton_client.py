"""tritonclient[http], unmodified, against a server whose host:port is the argument: every call that it has for what the server offers."""
import asyncio
import json
import math
import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

HOST = sys.argv[1]
client = triton.InferenceServerClient(HOST)
random = np.random.default_rng(0)


def tensor(name, values, datatype, binary=True):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def outputs(*names, binary=True):
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]


def truth(q, k, v, causal=False):
    """In float64."""
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ v, weights


def same(got, want, tolerance):
    assert got.shape == want.shape, (got.shape, want.shape)
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=tolerance, atol=tolerance)


def refused(status, says, call):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == str(status), error
        assert says in error.message(), error.message()
        return
    raise AssertionError(f"expected a refusal that says {says!r}")


Q, K, V = (random.standard_normal((2, 3, n, 8)) for n in (5, 7, 7))
OUTPUT, WEIGHTS = truth(Q, K, V)

# what there is
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("attention") and client.is_model_ready("attention", "1")
assert not client.is_model_ready("attention", "2") and not client.is_model_ready("none")
server = client.get_server_metadata()
assert server["name"] == "attention-server" and "binary_tensor_data" in server["extensions"], server
model = client.get_model_metadata("attention", "1")
assert model["versions"] == ["1"] and [each["name"] for each in model["inputs"]] == ["q", "k", "v"], model
config = client.get_model_config("attention")
assert config["max_batch_size"] == 0 and config["input"][0]["data_type"] == "TYPE_FP32", config
index = {each["name"]: each for each in client.get_model_repository_index()}
assert index["transformer"]["state"] == "READY" and set(index) >= {"attention", "multi-head-attention"}, index

# texts of a checkpoint, both ways, with the maps of a layer
TEXTS = np.array(["the cat sat", "a naïve dog ran"], dtype=object)
found = []
for binary in (True, False):
    text = triton.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(TEXTS, binary_data=binary)
    result = client.infer("bert", [text], outputs=outputs("last_hidden_state", "weights.1"))
    maps = result.as_numpy("weights.1")
    assert maps.shape[0] == 2 and maps.shape[2] == maps.shape[3] == result.as_numpy("last_hidden_state").shape[1]
    found.append(maps.tobytes())
assert found[0] == found[1], "the same bits whatever the form"

# every datatype as bytes, and all but BF16 as JSON, which the client does not write
TYPES = {"FP64": (np.float64, 1e-5), "FP32": (np.float32, 1e-5), "FP16": (np.float16, 5e-3)}
for datatype, (dtype, tolerance) in TYPES.items():
    q, k, v = (x.astype(dtype) for x in (Q, K, V))
    want, weights = truth(q, k, v)
    found = []
    for inputs_binary in (True, False):
        for outputs_binary in (True, False):
            result = client.infer(
                "attention",
                [tensor(name, x, datatype, inputs_binary) for name, x in (("q", q), ("k", k), ("v", v))],
                outputs=outputs("weights", "output", binary=outputs_binary),
                request_id="one",
            )
            response = result.get_response()
            assert response["id"] == "one" and response["model_version"] == "1", response
            assert [each["name"] for each in response["outputs"]] == ["weights", "output"], response
            same(result.as_numpy("output"), want, 1e-5)
            same(result.as_numpy("weights"), weights, 1e-5)
            found.append(result.as_numpy("output").tobytes())
    assert len(set(found)) == 1, "the same bits whatever the form"
    result = client.infer("attention", [tensor("q", q, datatype), tensor("k", k, datatype), tensor("v", v, datatype)])
    assert [each["name"] for each in result.get_response()["outputs"]] == ["output"]
    assert result.as_numpy("output").tobytes() == found[0]

bf16 = ml_dtypes.bfloat16
q, k, v = (x.astype(bf16) for x in (Q, K, V))
want = truth(q, k, v)[0]
given = [tensor("q", q, "BF16"), tensor("k", k, "BF16"), tensor("v", v, "BF16")]
same(client.infer("attention", given).as_numpy("output"), want, 1e-5)
result = client.infer("attention", given, parameters={"output_dtype": "bfloat16"})
assert result.get_output("output")["datatype"] == "BF16"
same(result.as_numpy("output"), want, 1e-2)
for output_dtype, datatype, tolerance in (("float16", "FP16", 1e-3), ("float64", "FP64", 1e-13)):
    precision = {"precision": "float64", "output_dtype": output_dtype}
    result = client.infer(
        "attention", [tensor(name, x, "FP64") for name, x in (("q", Q), ("k", K), ("v", V))], parameters=precision
    )
    assert result.get_output("output")["datatype"] == datatype
    same(result.as_numpy("output"), OUTPUT, tolerance)

# options: scalars as they are, nested ones as JSON text; masks, lengths, gradients; text beside bytes both ways
single = [tensor("q", Q.astype(np.float32), "FP32"), tensor("k", K.astype(np.float32), "FP32", False)]
single.append(tensor("v", V.astype(np.float32), "FP32"))
mask = np.ones((5, 7), bool)
mask[:, 2] = False
result = client.infer(
    "attention",
    single + [tensor("mask", mask, "BOOL"), tensor("kv_lengths", np.array([7, 4]), "INT64", False)],
    outputs=outputs("weights") + outputs("logsumexp", "grads.mask", binary=False)[:1],
    parameters={"causal": "bottom_right", "scale": 0.5, "request": json.dumps({"window": {"left": 3}})},
)
weights = result.as_numpy("weights")
assert not weights[..., 2].any() and not weights[1, ..., 4:].any() and not weights[..., 0, 3:].any()
assert result.as_numpy("logsumexp").shape == (2, 3, 5)
target = np.zeros(OUTPUT.shape, np.float32)
result = client.infer(
    "attention",
    single + [tensor("backward.target", target, "FP32")],
    outputs=outputs("grads.q", "grads.v") + outputs("output", binary=False),
    parameters={"request": json.dumps({"backward": {"loss": "sum_squared_error"}})},
)
loss = result.get_response()["parameters"]["loss"]
assert abs(loss - (OUTPUT**2).sum()) < 1e-3, (loss, (OUTPUT**2).sum())
same(result.as_numpy("output"), OUTPUT, 1e-5)
step = 1e-3
nudged = V.copy()
nudged[0, 0, 0, 0] += step
slope = ((truth(Q, K, nudged)[0] ** 2).sum() - (OUTPUT**2).sum()) / step
assert abs(result.as_numpy("grads.v")[0, 0, 0, 0] - slope) < 1e-2, (result.as_numpy("grads.v")[0, 0, 0, 0], slope)

# NaN and infinities, as bytes and as text (which this client writes without quotes)
wild = V.astype(np.float32)
wild[0, 0, 0, :3] = np.nan, np.inf, -np.inf
for binary in (True, False):
    result = client.infer(
        "attention",
        single[:2] + [tensor("v", wild, "FP32", binary)],
        outputs=outputs("output", binary=binary),
        parameters={"non_finite": "propagate"},
    )
    output = result.as_numpy("output")
    assert np.isnan(output[0, 0, :, 0]).all() and (output[0, 0, :, 1] == np.inf).all()
    assert (output[0, 0, :, 2] == -np.inf).all() and np.isfinite(output[1]).all()
    refused(400, "/inputs/2", lambda: client.infer("attention", single[:2] + [tensor("v", wild, "FP32", binary)]))

# nothing to attend to, and nothing at all
none = np.zeros((0, 3, 5, 8), np.float32)
for binary in (True, False):
    result = client.infer(
        "attention",
        [tensor(name, none, "FP32", binary) for name in ("q", "k", "v")],
        outputs=outputs("output", binary=binary),
    )
    assert result.as_numpy("output").shape == none.shape

# layers and stacks
x = random.standard_normal((2, 4, 8)).astype(np.float32)
init = {"init": {"scheme": "xavier_uniform", "seed": 1}}
result = client.infer(
    "multi-head-attention",
    [tensor("x", x, "FP32")],
    outputs=outputs("output", "weights", "params.w_q"),
    parameters={"heads": 2, "request": json.dumps(init)},
)
assert result.as_numpy("weights").shape == (2, 2, 4, 4) and result.as_numpy("params.w_q").shape == (8, 8)
stack = {"stack": {"layers": 2, "d_model": 8, "heads": 2, "d_ff": 16, "causal": True, **init}}
result = client.infer(
    "transformer",
    [tensor("x", x, "FP32")],
    outputs=outputs("layers.1.weights", "output"),
    parameters={"request": json.dumps(stack)},
)
assert result.as_numpy("layers.1.weights").shape == (2, 2, 4, 4)

# parameters that are Triton's own
assert client.infer("attention", single, sequence_id=7, sequence_start=True, priority=1, timeout=60_000_000)

# errors
refused(404, "no model none", lambda: client.infer("none", single))
refused(404, "no version 2", lambda: client.infer("attention", single, model_version="2"))
refused(400, "expected an input v", lambda: client.infer("attention", single[:2]))
refused(400, "/outputs/0/name", lambda: client.infer("attention", single, outputs=outputs("bogus")))
refused(400, "/parameters/causl", lambda: client.infer("attention", single, parameters={"causl": True}))
refused(400, "/inputs/0/datatype", lambda: client.infer("attention", [tensor("q", np.zeros((1, 2), np.int8), "INT8")]))
refused(400, "/inputs/1", lambda: client.infer("attention", [single[0], tensor("k", x, "FP32"), single[2]]))
refused(400, "attention is there", lambda: client.unload_model("attention"))

# statistics
before = client.get_inference_statistics("attention")["model_stats"][0]
client.infer("attention", single)
refused(400, "expected", lambda: client.infer("attention", single[:2]))
after = client.get_inference_statistics("attention", "1")["model_stats"][0]
assert after["inference_count"] == before["inference_count"] + 2, (before, after)
assert after["execution_count"] == before["execution_count"] + 1
for name in ("success", "fail"):
    assert after["inference_stats"][name]["count"] == before["inference_stats"][name]["count"] + 1, (before, after)
assert {each["name"] for each in client.get_inference_statistics()["model_stats"]} >= {"attention", "transformer"}


async def many():
    async with triton_aio.InferenceServerClient(HOST) as client:
        assert await client.is_server_ready()
        results = await asyncio.gather(*(client.infer("attention", single) for _ in range(8)))
        for result in results:
            same(result.as_numpy("output"), OUTPUT, 1e-5)
        try:
            await client.infer("attention", single[:2])
        except InferenceServerException as error:
            assert "expected an input v" in error.message()


asyncio.run(many())


def compressed():
    """Both ways, by both algorithms, with bytes behind the text and without."""
    for request in ("gzip", "deflate"):
        for response in ("gzip", "deflate"):
            for binary in (True, False):
                result = client.infer(
                    "attention",
                    single,
                    outputs=outputs("output", binary=binary),
                    request_compression_algorithm=request,
                    response_compression_algorithm=response,
                )
                same(result.as_numpy("output"), OUTPUT, 1e-5)


compressed()
client.close()
print("tritonclient: passed")
