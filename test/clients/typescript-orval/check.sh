# TypeScript, orval
source "$CLIENTS/tools.sh"
cp "$OPENAPI30" openapi.json
cat > orval.config.ts <<'TS'
export default {
  api: { input: './openapi.json', output: { target: 'orval/api.ts', client: 'fetch', baseUrl: process.env.SERVER } },
}
TS
npx orval --config ./orval.config.ts > generate.log || { cat generate.log; exit 1; }
call
