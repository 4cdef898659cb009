import { defineConfig } from 'vitest/config'

// Scenarios kill, cut and restore for minutes; they have a script of their own, which sets this.
const scenarios = process.env['NOMALY_TEST_SCENARIOS'] === '1'

export default defineConfig({
  test: {
    include: ['{test,dashboard/test}/**/*.test.ts'],
    exclude: scenarios ? [] : ['test/scenarios/**/*.long.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Processes, since some tests start, signal and kill others; two, since a server works beside them.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    typecheck: { enabled: false },
  },
})
