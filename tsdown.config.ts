import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: ['src/index.ts', 'src/cli/main.ts'],
  outDir: 'dist',
  platform: 'node',
  target: 'node22',
  // One file a module: the SQL files are found beside the module that reads them, and stack traces stay readable.
  unbundle: true,
  outExtensions: () => ({ js: '.js' }),
  // Declarations come from the compiler: see tsconfig.build.json.
  dts: false,
  copy: [{ from: 'src/database/migrations', to: 'dist/database' }],
})
