# Sourced by the checks in TypeScript: installs their generators once.
tools=(openapi-typescript@7.13.0 openapi-fetch@0.17.0 @hey-api/openapi-ts@0.95.0 orval@7.13.2 typescript@5.9.3 esbuild@0.25.12)
if ! test -d "$TOOLS/ts/node_modules/orval"; then
  mkdir -p "$TOOLS/ts"
  echo '{"private":true}' > "$TOOLS/ts/package.json"
  npm install --prefix "$TOOLS/ts" --prefer-offline --no-audit --no-fund --loglevel=error "${tools[@]}" > /dev/null
fi
ln -s "$TOOLS/ts/node_modules" node_modules
echo '{"private":true,"type":"module"}' > package.json
echo 'declare const process: { env: { SERVER: string } }' > globals.d.ts
cat > tsconfig.json <<'JSON'
{
  "compilerOptions": {
    "strict": true,
    "noEmit": true,
    "skipLibCheck": true,
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "esnext",
    "types": [],
    "lib": ["esnext", "dom", "dom.iterable"]
  }
}
JSON

# Compiles and calls.
call() {
  npx tsc -p .
  npx esbuild call.ts --bundle --platform=node --format=esm --outfile=call.mjs --log-level=warning
  node call.mjs
}
