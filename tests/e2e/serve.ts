import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { preview } from 'vite'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** Address of the built deck, ending in a slash. */
    site: string
  }
}

/** Serves dist, as `npm start` does, while the end-to-end tests run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { root } = project.config
  if (!existsSync(join(root, 'dist/index.html'))) throw new Error('dist/index.html is missing: npm run build makes it, npm test -- e2e does both')
  const server = await preview({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'warn', preview: { port: 4320, strictPort: false } })
  project.provide('site', server.resolvedUrls!.local[0]!)
  return () => server.close()
}
