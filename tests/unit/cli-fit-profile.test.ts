import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test, vi } from 'vitest'
import { main } from '$engine/cli/fit'

const folder = mkdtempSync(join(tmpdir(), 'fit-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What the command prints with --json. */
async function fit(...args: string[]) {
  const lines: string[] = []
  const log = vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line))
  try {
    await main([...args, '--json'])
  } finally {
    log.mockRestore()
  }
  return JSON.parse(lines.join('')) as { steps: Record<string, number>; scheduler: Record<string, unknown>; error: { all: { worst: number }; others?: { worst: number } }; shapes: number }
}

/** A profile whose steps follow five known numbers to the letter. */
function profile(name: string, [a, b, c, d, e]: readonly [number, number, number, number, number]): string {
  const shapes = [1, 2, 4, 8].flatMap((n) => [64, 1024].flatMap((s) => [0, 16, 256].map((p) => ({ decodes: n, context: n * s, prefill: p, prefillContext: p * (s / 2) }))))
  const samples = shapes.map((x) => ({ ...x, ms: a + b * x.decodes + c * x.context + d * x.prefill + e * x.prefillContext }))
  const file = join(folder, `${name}.json`)
  writeFileSync(file, JSON.stringify({ version: 1, scheduler: { max_sequences: 64, max_batched_tokens: 512, kv_blocks: 1024 }, models: [{ name: 'other', fit: { samples: samples.slice(0, 2) } }, { name: 'known', fit: { samples } }] }, null, 2))
  return file
}

test('a profile: the five numbers that its steps were made of come back, from half of the shapes too', async () => {
  const known = [5, 1.25, 2e-4, 0.9, 3e-5] as const
  const file = profile('known', known)
  for (const on of ['all', 'odd', 'even']) {
    const { steps, scheduler, error, shapes } = await fit(file, '--of', 'known', '--fit-on', on)
    expect(Object.values(steps).filter((v) => typeof v === 'number')).toEqual(known.map((v) => expect.closeTo(v, 9)))
    expect(scheduler).toMatchObject({ max_sequences: 64, max_batched_tokens: 512, kv_blocks: 1024, block_size: 16 })
    expect(shapes).toBe(24)
    expect(error.all.worst).toBeLessThan(1e-9)
    expect(error.others === undefined).toBe(on === 'all')
  }
})

test('what is no profile, and a model that it does not have, are named', async () => {
  const file = profile('named', [1, 1, 1, 1, 1])
  await expect(fit(file, '--of', 'tales-9m')).rejects.toThrow('has no model tales-9m; it has other, known')
  writeFileSync(join(folder, 'no.json'), '{ "a": 1 }')
  await expect(fit(join(folder, 'no.json'))).rejects.toThrow('holds no measured steps')
  writeFileSync(join(folder, 'cut.json'), '{ "models": [')
  await expect(fit(join(folder, 'cut.json'))).rejects.toThrow('is not JSON')
})
