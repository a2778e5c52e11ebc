# Python, openapi-generator
source "$CLIENTS/java.sh"
generate python --package-name attention_client
test -d "$TOOLS/python-generator" || {
  python3 -m venv "$TOOLS/python-generator"
  "$TOOLS/python-generator/bin/pip" install -q 'urllib3<3' python-dateutil pydantic typing-extensions
}
PYTHONPATH=client "$TOOLS/python-generator/bin/python" call.py
