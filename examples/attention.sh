#!/usr/bin/env bash
# The worked example: three tokens attend to each other; output, weights, loss and gradients. ./attention.sh [server]
set -euo pipefail
server=${1:-http://127.0.0.1:8080}
x='[[1,0,0,0],[0,1,0,0],[0,0,1,0]]'

curl --silent --show-error --fail-with-body "$server/v1/attention" \
  --header 'content-type: application/json' \
  --data "{\"q\":$x,\"k\":$x,\"v\":$x,\"return\":[\"output\",\"weights\",\"entropy\"],\"backward\":{\"target\":$x}}"
