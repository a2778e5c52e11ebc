// oapi-codegen on openapi-3.0.json: a tensor is any value that JSON has, so slices go in as they are.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"demo/att"
)

func check(ok bool, what ...any) {
	if !ok {
		log.Fatalln(what...)
	}
}

func main() {
	ctx := context.Background()
	client, err := att.NewClientWithResponses(os.Getenv("SERVER"))
	check(err == nil, err)
	x := [][]float64{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}
	var target att.Tensor = x
	maps := []att.AttentionRequestReturn{"output", "weights"}
	answer, err := client.AttentionWithResponse(ctx, att.AttentionRequest{
		Q: x, K: x, V: x, Return: &maps, Backward: &att.AttentionRequestBackward{Target: &target},
	})
	check(err == nil && answer.JSON200 != nil, err)
	weights := (*answer.JSON200.Weights).([]any)[0].([]any)
	gradient := (*answer.JSON200.Grads.Q).([]any)
	check(weights[0].(float64) > weights[1].(float64) && len(gradient) == 3, weights, gradient)

	short := [][]float64{{1, 0}}
	refused, err := client.AttentionWithResponse(ctx, att.AttentionRequest{Q: x, K: short, V: x})
	check(err == nil && refused.ApplicationproblemJSON400.Code == "SHAPE_MISMATCH", err)

	seed := int64(1)
	wide := int32(8)
	results := []att.TransformerRequestReturn{"output", "weights"}
	stack := att.Stack{Layers: 1, Heads: 2, DFf: &wide, Init: &att.Init{Seed: &seed}}
	run, err := client.TransformerWithResponse(ctx, att.TransformerRequest{X: x, Stack: stack, Return: &results})
	check(err == nil && run.JSON200 != nil && len(*run.JSON200.Layers) == 1, err)

	shape := map[string]any{"shape": []int{1, 8, 4096, 64}}
	plan, err := client.PlanWithResponse(ctx, att.PlanRequest{
		Endpoint: "/v1/attention", Body: map[string]any{"q": shape, "k": shape, "v": shape},
	})
	check(err == nil && plan.JSON200.Flops > 1e9 && plan.JSON200.Admitted, err)
	fmt.Println("called")
}
