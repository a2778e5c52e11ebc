/** Tests against programs that must be installed (nginx, haproxy …): `npm run test:system`; `.ci/run` installs them. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts', 'test/soak/system/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    retry: 0,
    setupFiles: ['src/revectorize.ts', 'test/support/seed.ts'],
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
})
