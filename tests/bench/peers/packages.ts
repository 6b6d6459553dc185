import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ROOT } from '$engine/cli/place'

const require = createRequire(join(ROOT, 'tests/bench/peers/package.json'))

/** A package of tests/bench/peers. Throws with what to do where it is not installed. */
export async function peerPackage<T>(name: string): Promise<T> {
  let file: string
  try {
    file = require.resolve(name)
  } catch (error) {
    // Packages that are there for `import` alone cannot be resolved this way.
    if ((error as { code?: string }).code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw new Error(`${name} is not installed: npm run bench:peers`, { cause: error })
    file = join(ROOT, 'tests/bench/peers/node_modules', name, 'dist/index.js')
  }
  return (await import(/* @vite-ignore */ pathToFileURL(file).href)) as T
}
