"""openapi-generator (python) on openapi-3.0.json: a tensor is any value that JSON has."""

import os

from attention_client import ApiClient, Configuration, models as m
from attention_client.api import ComputeApi
from attention_client.exceptions import ApiException

api = ComputeApi(ApiClient(Configuration(host=os.environ["SERVER"])))
X = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
backward = m.AttentionRequestBackward(target=X)
answer = api.attention(m.AttentionRequest(q=X, k=X, v=X, var_return=["output", "weights"], backward=backward))
assert answer.weights[0][0] > answer.weights[0][1], answer
assert len(answer.grads.q) == 3

try:
    api.attention(m.AttentionRequest(q=X, k=[[1, 0]], v=X))
    raise AssertionError("not refused")
except ApiException as refused:
    assert refused.status == 400 and refused.data.code == "SHAPE_MISMATCH", refused

stack = m.Stack(layers=1, heads=2, d_ff=8, init=m.Init(seed=1))
run = api.transformer(m.TransformerRequest(x=X, stack=stack, var_return=["output", "weights"]))
assert len(run.layers[0].weights) == 2, run

shape = {"shape": [1, 8, 4096, 64]}
body = {"q": shape, "k": shape, "v": shape}
planned = api.plan(m.PlanRequest(endpoint="/v1/attention", body=body))
assert planned.flops > 1e9 and planned.admitted, planned
print("called")
