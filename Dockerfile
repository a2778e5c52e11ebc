# The release's workflow asks the registry for the digest of this tag and builds from that: NODE=node@sha256:…
ARG NODE=node:26.10.0-slim

# Build: everything, to compile the kernels and the page.
FROM ${NODE} AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY scripts scripts
COPY workers workers
RUN node scripts/build-kernels.ts
COPY tsconfig.json ./
COPY models/lesson/lesson.json models/lesson/lesson.json
COPY web web
RUN node scripts/build-page.ts

# Production dependencies alone.
FROM ${NODE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts \
  && npm sbom --package-lock-only --omit=dev --sbom-format=cyclonedx > sbom.cdx.json

FROM ${NODE}
# again, so that the label below has it
ARG NODE
# who may come is said where the image is run: without AUTH it does not start
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
# what is installed, for scanners that look for the label
COPY --from=dependencies /app/sbom.cdx.json sbom.cdx.json
LABEL org.opencontainers.image.title=attention-server \
  org.opencontainers.image.licenses=Apache-2.0 \
  org.opencontainers.image.base.name=${NODE} \
  io.attention-server.sbom=/app/sbom.cdx.json \
  io.attention-server.sbom.format=cyclonedx
COPY package.json ./
COPY openapi openapi
COPY models models
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
