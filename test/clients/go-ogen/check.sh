# Go, ogen
export GOBIN="$TOOLS/go" GOFLAGS=-mod=mod
test -x "$GOBIN/ogen" || go install github.com/ogen-go/ogen/cmd/ogen@v1.24.0
printf 'module demo\n\ngo 1.24\n' > go.mod
node inline-tensors.mjs "$OPENAPI30" > inline.json
"$GOBIN/ogen" --target att --package att --clean inline.json 2> ogen.log || { cat ogen.log; exit 1; }
go mod tidy
go run .
