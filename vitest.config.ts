import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // workers of the service under test are threads of their own: two test files at a time are enough for two cores
    pool: 'forks',
    maxWorkers: 2,
    retry: 0,
    setupFiles: ['src/revectorize.ts', 'test/support/seed.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    coverage: {
      provider: 'v8',
      include: ['src/{formats,layers,engine,pipeline}/**/*.ts', 'workers/**/*.ts'],
      exclude: ['**/*.test.ts', '**/*.d.ts', '**/assembly/**', '**/simd/**', '**/*-cases.ts', '**/cases.ts'],
      reporter: ['text-summary', 'html', 'json-summary'],
      // floors by room: raised when a room has got better, never lowered
      thresholds: {
        'src/formats/**': { lines: 95, branches: 90 },
        'src/layers/**': { lines: 95, branches: 90 },
        'src/engine/**': { lines: 95, branches: 90 },
        'src/pipeline/**': { lines: 95, branches: 90 },
        'workers/ops/*/{reference.ts,reference/**}': { lines: 100 },
      },
    },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'workers/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'service',
          include: ['test/*.test.ts', 'test/service/**/*.test.ts', 'test/conformance/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts', 'test/web/**/*.test.ts'],
          // what a browser shows comes when two busy cores let it
          expect: { poll: { timeout: 15_000 } },
        },
      },
      {
        extends: true,
        // the long run takes as long as it takes
        test: {
          name: 'fuzz',
          include: ['test/fuzz/**/*.test.ts'],
          testTimeout: process.env.FUZZ_RUNS === undefined ? 60_000 : 0,
        },
      },
      {
        extends: true,
        test: {
          name: 'soak',
          include: ['test/soak/*.test.ts'],
        },
      },
    ],
  },
})
