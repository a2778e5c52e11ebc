// ogen on openapi-3.0.json with its tensors inlined: a tensor is raw JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"demo/att"

	"github.com/ogen-go/ogen/ogenerrors"
)

type noKey struct{}

func (noKey) Key(context.Context, att.OperationName) (att.Key, error) {
	return att.Key{}, ogenerrors.ErrSkipClientSecurity
}

func check(ok bool, what ...any) {
	if !ok {
		log.Fatalln(what...)
	}
}

func tensor(rows [][]float64) []byte {
	raw, _ := json.Marshal(rows)
	return raw
}

func main() {
	ctx := context.Background()
	client, err := att.NewClient(os.Getenv("SERVER"), noKey{})
	check(err == nil, err)
	x := tensor([][]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}})
	request := &att.AttentionRequest{Q: x, K: x, V: x, Return: []att.AttentionRequestReturn{"output", "weights"}}
	request.Backward = att.NewOptAttentionRequestBackward(att.AttentionRequestBackward{Target: x})
	found, err := client.Attention(ctx, request)
	check(err == nil, err)
	answer, ok := found.(*att.AttentionAnswer)
	check(ok, found)
	var weights, gradient [][]float64
	check(json.Unmarshal(answer.Weights, &weights) == nil && weights[0][0] > weights[0][1], weights)
	check(json.Unmarshal(answer.Grads.Value.Q, &gradient) == nil && len(gradient) == 3, gradient)

	refused, err := client.Attention(ctx, &att.AttentionRequest{Q: x, K: tensor([][]float64{{1, 0}}), V: x})
	check(err == nil, err)
	problem, ok := refused.(*att.AttentionBadRequest)
	check(ok && problem.Code == "SHAPE_MISMATCH", refused)

	stack := att.Stack{Layers: 1, Heads: 2, DFf: att.NewOptInt32(8), Init: att.NewOptInit(att.Init{Seed: att.NewOptInt64(1)})}
	run, err := client.Transformer(ctx, &att.TransformerRequest{X: x, Stack: stack})
	check(err == nil, err)
	_, ok = run.(*att.TransformerAnswer)
	check(ok, run)

	shape := []byte(`{"shape":[1,8,4096,64]}`)
	plan, err := client.Plan(ctx, &att.PlanRequest{
		Endpoint: "/v1/attention", Body: att.PlanRequestBody{"q": shape, "k": shape, "v": shape},
	})
	check(err == nil, err)
	planned, ok := plan.(*att.PlanAnswer)
	check(ok && planned.Flops > 1e9 && planned.Admitted, plan)
	fmt.Println("called")
}
