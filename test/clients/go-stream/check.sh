# Go, coder/websocket: the example of the stream as it is
export GOFLAGS=-mod=mod
cp "$EXAMPLES/stream.go" .
go mod init stream > init.log 2>&1
go mod edit -require=github.com/coder/websocket@v1.8.14
go mod tidy > tidy.log 2>&1 || { cat tidy.log; exit 1; }
go vet .
go run . "$SERVER" > frames.txt
test "$(grep -c '^layer' frames.txt)" = 6
grep -q '^done in' frames.txt
echo called
