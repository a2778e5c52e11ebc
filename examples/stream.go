// A transformer stack layer by layer: which token the last one attends to most, in every head, while the layers come.
//
//	go mod init stream && go mod tidy && go run stream.go [server]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

const (
	layers, heads, tokens, width = 6, 4, 64, 32
	// a layer's maps are larger than the 32 KiB that the library takes by default
	mostBytes = 64 << 20
)

// message is what this example reads of the server's messages; /asyncapi.json has all of them.
type message struct {
	Type    string
	Index   int
	Timing  struct{ At, Total float64 }
	Tensors struct{ Weights [][][]float64 }
	Problem struct{ Code, Detail string }
}

func main() {
	server := "http://127.0.0.1:8080"
	if len(os.Args) > 1 {
		server = os.Args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	socket, _, err := websocket.Dial(ctx, strings.Replace(server, "http", "ws", 1)+"/v1/stream", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer socket.CloseNow()
	socket.SetReadLimit(mostBytes)
	send := func(value map[string]any) {
		value["id"] = "example"
		if err := wsjson.Write(ctx, socket, value); err != nil {
			log.Fatal(err)
		}
	}

	x := make([][]float64, tokens)
	for t := range x {
		x[t] = make([]float64, width)
		for d := range x[t] {
			x[t][d] = math.Sin(float64(t*(d+1)) * 0.7)
		}
	}
	send(map[string]any{
		"type": "start", "x": x, "emit": []string{"weights"}, "credit": 2,
		"stack": map[string]any{
			"layers": layers, "heads": heads, "causal": true, "position": "alibi", "init": map[string]any{"seed": 3},
		},
	})
	for {
		_, text, err := socket.Read(ctx)
		if err != nil {
			log.Fatal(err)
		}
		var frame message
		if err := json.Unmarshal(text, &frame); err != nil {
			log.Fatal(err)
		}
		switch frame.Type {
		case "layer":
			fmt.Printf("layer %d, %.1f ms:", frame.Index, frame.Timing.At)
			for _, rows := range frame.Tensors.Weights {
				key, weight := strongest(rows[tokens-1])
				fmt.Printf("  %d (%.0f%%)", key, 100*weight)
			}
			fmt.Println()
			// this layer has been dealt with: the next but one may come
			send(map[string]any{"type": "credit", "add": 1})
		case "done":
			fmt.Printf("done in %.0f ms\n", frame.Timing.Total)
			socket.Close(websocket.StatusNormalClosure, "")
			return
		case "error":
			log.Fatalf("%s: %s", frame.Problem.Code, frame.Problem.Detail)
		}
	}
}

func strongest(row []float64) (key int, weight float64) {
	for j, value := range row {
		if value > weight {
			key, weight = j, value
		}
	}
	return key, weight
}
