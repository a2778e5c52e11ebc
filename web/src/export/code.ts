/** A request as something to run elsewhere: curl in a shell, or Python's standard library. */
const LONGEST_ARGUMENT = 100_000

export function asCurl(origin: string, path: string, body: unknown): string {
  const json = JSON.stringify(body)
  // an argument of a command may not be long: a longer body comes from the standard input
  if (json.length > LONGEST_ARGUMENT) {
    return `curl -s ${origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d @- <<'JSON'\n${json}\nJSON\n`
  }
  const quoted = json.replaceAll("'", "'\\''")
  return `curl -s ${origin}${path} \\\n  -H 'content-type: application/json' \\\n  -d '${quoted}'\n`
}

export function asPython(origin: string, path: string, body: unknown): string {
  return `import json
import urllib.request

body = json.loads(r"""${jsonInPython(body)}""")
request = urllib.request.Request(
    "${origin}${path}",
    json.dumps(body).encode(),
    {"content-type": "application/json"},
)
with urllib.request.urlopen(request) as response:
    answer = json.load(response)
for name, value in answer.items():
    print(name, value)
`
}

/** Inside a raw string of three quotes nothing may close it; JSON can write a quote as its code. */
function jsonInPython(body: unknown): string {
  return JSON.stringify(body).replaceAll('\\"', '\\u0022').replaceAll('""""', '"" ""')
}
