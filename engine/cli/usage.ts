import { parseArgs, type ParseArgsConfig } from 'node:util'

/** The command line asks for something that does not exist or does not add up. The message names the flag. */
export class UsageError extends Error {
  override name = 'UsageError'
}

export type Flags = Record<string, string | boolean | undefined>

/** Reads `--flag value` and `--flag=value`. Throws UsageError naming an unknown flag, a missing value or a stray word. */
export function parseFlags(args: readonly string[], options: NonNullable<ParseArgsConfig['options']>): Flags {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }).values as Flags
  } catch (cause) {
    // Node goes on with advice about positional arguments, of which there are none here.
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new UsageError(message.split(/\. (?:To specify|Did you|This command)/)[0]!, { cause })
  }
}

/** Throws UsageError when the flag is absent. */
export function required(flags: Flags, name: string, what: string): string {
  const value = flags[name]
  if (typeof value !== 'string') throw new UsageError(`--${name} is missing: give ${what}`)
  return value
}

/** A number in [low, high]; `whole` for counts and seeds. */
export function numeric(flags: Flags, name: string, fallback: number, { low, high, whole }: { low: number; high: number; whole: boolean }): number {
  const text = flags[name]
  if (text === undefined) return fallback
  const value = typeof text === 'string' && text.trim() !== '' ? Number(text) : NaN
  if (!(value >= low && value <= high) || (whole && !Number.isInteger(value))) {
    throw new UsageError(`--${name} must be a ${whole ? 'whole ' : ''}number from ${low} to ${high}, got ${JSON.stringify(text)}`)
  }
  return value
}

export function oneOf<T extends string>(flags: Flags, name: string, fallback: T, values: readonly T[]): T {
  const value = flags[name] ?? fallback
  if (!values.includes(value as T)) throw new UsageError(`--${name} must be one of ${values.join(', ')}, got ${JSON.stringify(value)}`)
  return value as T
}
