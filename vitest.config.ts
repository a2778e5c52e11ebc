import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts', 'workers/**/*.test.ts'],
    // workers of the service under test are threads of their own: two test files at a time are enough for two cores
    pool: 'forks',
    setupFiles: ['src/revectorize.ts'],
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // what a browser shows comes when two busy cores let it
    expect: { poll: { timeout: 15_000 } },
  },
})
