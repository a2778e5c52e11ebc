# Build: everything, to compile the kernels and the page.
FROM node:26-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY scripts scripts
COPY workers workers
RUN node scripts/build-kernels.ts
COPY tsconfig.json ./
COPY web web
RUN node scripts/build-page.ts

# Production dependencies alone.
FROM node:26-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:26-slim
# who may come is said where the image is run: without AUTH it does not start
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY openapi openapi
COPY src src
COPY --from=build /app/workers workers
COPY --from=build /app/web/dist web/dist
# the default of a volume for jobs (STORE_URL=file:///store): it has the owner of this folder
RUN mkdir /store && chown node:node /store
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# node is process 1 and handles SIGTERM itself
CMD ["node", "src/main.ts"]
