# TypeScript, @hey-api/openapi-ts
source "$CLIENTS/tools.sh"
npx openapi-ts -i "$OPENAPI" -o heyapi > generate.log || { cat generate.log; exit 1; }
call
