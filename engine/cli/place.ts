import { existsSync, readdirSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ReadFile } from '../model/load'
import { UsageError } from './usage'

/** The repository, as scripts/run.mjs says it. */
export const ROOT = process.env['EXPRESSWAY_ROOT'] ?? process.cwd()

/** A path as the user typed it: npm changes to the package's folder and leaves the user's in INIT_CWD. */
export function userPath(path: string): string {
  const places = [process.env['INIT_CWD'], process.cwd()].filter((p) => p !== undefined).map((p) => resolve(p, path))
  return places.find((p) => existsSync(p)) ?? places[0]!
}

/** Where to write what the user named: in their own folder. */
export function outputPath(path: string): string {
  return resolve(process.env['INIT_CWD'] ?? '.', path)
}

/** The folder of a model: a path, or the name of a shipped one. Throws UsageError naming the flag and listing those. */
export function modelFolder(nameOrPath: string, flag = '--model'): string {
  const shipped = join(ROOT, 'assets/models')
  for (const folder of [userPath(nameOrPath), join(shipped, nameOrPath)]) if (isFolder(folder)) return folder
  const names = isFolder(shipped) ? readdirSync(shipped).filter((name) => isFolder(join(shipped, name))) : []
  throw new UsageError(`${flag} ${nameOrPath}: there is no such folder, and it is none of the shipped models (${names.join(', ') || 'none here'})`)
}

export function folderReader(folder: string): ReadFile {
  return async (file) => {
    const bytes = await readFile(join(folder, file)).catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === 'ENOENT' ? new Error('there is no such file', { cause }) : cause
    })
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
