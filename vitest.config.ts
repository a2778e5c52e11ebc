import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    // workers of the service under test are threads of their own: two test files at a time are enough for two cores
    pool: 'forks',
    maxWorkers: 2,
    retry: 0,
    setupFiles: ['src/revectorize.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'workers/**/*.test.ts', 'test/workers/**/*.test.ts'],
        },
      },
      { extends: true, test: { name: 'service', include: ['test/*.test.ts', 'test/service/**/*.test.ts'] } },
      {
        extends: true,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts', 'test/web/**/*.test.ts'],
          // what a browser shows comes when two busy cores let it
          expect: { poll: { timeout: 15_000 } },
        },
      },
      { extends: true, test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'] } },
    ],
  },
})
