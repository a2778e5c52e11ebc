# Python, openapi-python-client
test -x "$TOOLS/python/bin/openapi-python-client" || {
  python3 -m venv "$TOOLS/python"
  "$TOOLS/python/bin/pip" install -q openapi-python-client==0.29.1 httpx attrs python-dateutil
}
"$TOOLS/python/bin/openapi-python-client" generate --path "$OPENAPI30" --output-path attention_client --meta none > generate.log 2>&1
if grep -q 'WARNING parsing' generate.log; then cat generate.log; exit 1; fi
"$TOOLS/python/bin/python" call.py
