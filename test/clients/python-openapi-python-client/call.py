"""openapi-python-client on openapi-3.0.json: a tensor is any value that JSON has."""

import os

from attention_client import Client, models as m
from attention_client.api.compute import attention, plan, transformer

client = Client(os.environ["SERVER"])
X = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
wanted = [m.AttentionRequestReturn.OUTPUT, m.AttentionRequestReturn.WEIGHTS]
body = m.AttentionRequest(q=X, k=X, v=X, return_=wanted, backward=m.AttentionRequestBackward(target=X))
answer = attention.sync(client=client, body=body)
assert answer.weights[0][0] > answer.weights[0][1], answer
assert len(answer.grads.q) == 3 and answer.loss > 0

refused = attention.sync_detailed(client=client, body=m.AttentionRequest(q=X, k=[[1, 0]], v=X))
assert refused.status_code == 400 and refused.parsed.code == "SHAPE_MISMATCH", refused

stack = m.Stack(layers=1, heads=2, d_ff=8, init=m.Init(seed=1))
maps = [m.TransformerRequestReturn.WEIGHTS]
run = transformer.sync(client=client, body=m.TransformerRequest(x=X, stack=stack, return_=maps))
assert len(run.layers[0].weights) == 2, run

shape = {"shape": [1, 8, 4096, 64]}
planned = plan.sync(
    client=client,
    body=m.PlanRequest.from_dict({"endpoint": "/v1/attention", "body": {"q": shape, "k": shape, "v": shape}}),
)
assert planned.flops > 1e9 and planned.admitted, planned
print("called")
