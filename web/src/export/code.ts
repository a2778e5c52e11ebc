/**
 * A request as something to run elsewhere: curl in a shell, or Python's standard library. Where a key is wanted (`locked`) it comes
 * from the environment: texts that are copied are passed on.
 */

/** A variable of the environment. */
const KEY_NAME = 'ATTENTION_KEY'
const LONGEST_ARGUMENT = 100_000

export function asCurl(origin: string, path: string, body: unknown, locked = false): string {
  const key = locked ? ` -H "authorization: Bearer $${KEY_NAME}"` : ''
  const json = JSON.stringify(body)
  // an argument of a command may not be long: a longer body comes from the standard input
  if (json.length > LONGEST_ARGUMENT) {
    return `curl -s ${origin}${path} \\\n  -H 'content-type: application/json'${key} \\\n  -d @- <<'JSON'\n${json}\nJSON\n`
  }
  const quoted = json.replaceAll("'", "'\\''")
  return `curl -s ${origin}${path} \\\n  -H 'content-type: application/json'${key} \\\n  -d '${quoted}'\n`
}

export function asPython(origin: string, path: string, body: unknown, locked = false): string {
  const key = locked ? `, "authorization": "Bearer " + os.environ["${KEY_NAME}"]` : ''
  return `import json${locked ? '\nimport os' : ''}
import urllib.request

body = json.loads(r"""${jsonInPython(body)}""")
request = urllib.request.Request(
    "${origin}${path}",
    json.dumps(body).encode(),
    {"content-type": "application/json"${key}},
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
