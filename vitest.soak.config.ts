/** `npm run soak`: the long forms, one after the other; `npm run soak -- overload` runs one part. nginx and redis-server must be installed for those below system. */
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/soak/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    retry: 0,
    setupFiles: ['src/revectorize.ts', 'test/support/seed.ts'],
    // it takes as long as it takes
    testTimeout: 0,
    hookTimeout: 60_000,
    disableConsoleIntercept: true,
  },
})
