// Compiles the AssemblyScript kernels to engine/runner/wasm/build/{relaxed,simd}{,-shared}.wasm.
// Does nothing when neither a source nor the compiler has changed since.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(root, 'engine/runner/wasm')
const build = join(folder, 'build')
const TARGETS = [
  { name: 'simd', features: ['simd'], shared: false },
  { name: 'relaxed', features: ['simd', 'relaxed-simd'], shared: false },
  { name: 'simd-shared', features: ['simd', 'threads'], shared: true },
  { name: 'relaxed-shared', features: ['simd', 'relaxed-simd', 'threads'], shared: true },
]

/** Builds what is out of date. Returns the names of the files written. */
export async function buildWasm() {
  const state = fingerprint()
  if (existsSync(join(build, 'fingerprint')) && readFileSync(join(build, 'fingerprint'), 'utf8') === state && TARGETS.every(({ name }) => existsSync(join(build, `${name}.wasm`)))) return []
  const { default: asc } = await import('assemblyscript/asc')
  mkdirSync(build, { recursive: true })
  for (const { name, features, shared } of TARGETS) {
    const out = join(build, `${name}.${process.pid}.tmp.wasm`)
    const options = [
      join(folder, 'assembly', shared ? 'shared.ts' : 'single.ts'), '--baseDir', root, '--outFile', out,
      '-O3', '--converge', '--noAssert', '--runtime', 'stub', '--importMemory', '--noExportMemory',
      '--disableWarning', '201', // addresses are 32 bits wide, by design
      ...features.flatMap((feature) => ['--enable', feature]),
      ...(shared ? ['--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'] : []),
    ]
    const { error, stderr } = await asc.main(options.map((option) => option.replace(`${root}/`, '')))
    if (error) throw new Error(`AssemblyScript could not compile ${name}.wasm:\n${stderr}`)
    renameSync(out, join(build, `${name}.wasm`))
  }
  writeFileSync(join(build, 'fingerprint'), state)
  return TARGETS.map(({ name }) => `${name}.wasm`)
}

function fingerprint() {
  const hash = createHash('sha256')
  const compiler = join(root, 'node_modules/assemblyscript/package.json')
  const sources = readdirSync(join(folder, 'assembly')).filter((file) => file.endsWith('.ts')).sort().map((file) => join(folder, 'assembly', file))
  for (const file of [compiler, fileURLToPath(import.meta.url), join(folder, 'jobs.ts'), ...sources]) hash.update(file.slice(root.length)).update(readFileSync(file))
  return hash.digest('hex')
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const written = await buildWasm()
  console.log(written.length ? `built ${written.join(', ')}` : 'WebAssembly kernels are up to date')
}
