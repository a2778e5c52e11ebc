# TypeScript, openapi-typescript and openapi-fetch
source "$CLIENTS/tools.sh"
npx openapi-typescript "$OPENAPI30" --default-non-nullable false -o api.d.ts > /dev/null
call
