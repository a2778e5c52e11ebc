# Go, oapi-codegen
export GOBIN="$TOOLS/go" GOFLAGS=-mod=mod
test -x "$GOBIN/oapi-codegen" || go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2
printf 'module demo\n\ngo 1.24\n' > go.mod
mkdir att
"$GOBIN/oapi-codegen" -generate types,client -package att -o att/att.gen.go "$OPENAPI30"
go mod tidy
go run .
