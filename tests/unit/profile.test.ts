import { expect, test } from 'vitest'
import { byKernel, chromeTrace, profileTable, utilisationOf, type PhaseProfile } from '$engine/runner/profile'
import type { Roofs } from '$engine/trace/trace'

const roofs: Roofs = { flopsPerSecond: 10e9, read: [{ bytes: 1e6, bytesPerSecond: 20e9 }] }
const phase: PhaseProfile = {
  phase: 'decode at 64',
  stepMs: 4,
  work: { flops: 10e6, bytes: 40e6, workingSet: 1e6 },
  kernels: [
    { name: 'matmul', start: 0, ms: 1, flops: 6e6, bytes: 20e6 },
    { name: 'attend', start: 1.5, ms: 0.5, flops: 1e6, bytes: 4e6 },
    { name: 'matmul', start: 2, ms: 2, flops: 3e6, bytes: 16e6 },
  ],
}

test('launches add up by kernel, longest first', () => {
  expect(byKernel(phase.kernels)).toEqual([
    { name: 'matmul', launches: 2, ms: 3, flops: 9e6, bytes: 36e6 },
    { name: 'attend', launches: 1, ms: 0.5, flops: 1e6, bytes: 4e6 },
  ])
})

test('MBU and MFU: 40 MB at 20 GB/s are 2 of 4 ms, 10 MFLOP at 10 GFLOP/s 1 of 4', () => {
  expect(utilisationOf(phase, roofs)).toEqual({ mbu: 0.5, mfu: 0.25 })
})

test('the table has a row for every kernel and the step', () => {
  const lines = profileTable(phase, roofs)
  expect(lines[0]).toBe('decode at 64')
  expect(lines[2]!.trim().split(/\s{2,}/)).toEqual(['matmul', '2', '3.000', '86 %', '9.00', '36.00', '3.0', '12.0'])
  expect(lines.at(-1)).toContain('4.000 ms, MBU 50 %, MFU 25 %')
})

test('the Chrome trace holds every launch at its time, µs; phases follow each other, durations alone are laid end to end', () => {
  const bare = { ...phase, phase: 'prefill of 16', kernels: phase.kernels.map(({ name, ms, flops, bytes }) => ({ name, ms, flops, bytes })) }
  const trace = JSON.parse(JSON.stringify(chromeTrace('a CPU', [phase, bare]))) as { traceEvents: { ph: string; name: string; tid: number; ts: number; dur: number }[] }
  const spans = trace.traceEvents.filter((e) => e.ph === 'X').map(({ name, tid, ts, dur }) => [name, tid, ts, dur])
  expect(spans).toEqual([
    ['matmul', 1, 0, 1000], ['attend', 1, 1500, 500], ['matmul', 1, 2000, 2000],
    ['matmul', 2, 4000, 1000], ['attend', 2, 5000, 500], ['matmul', 2, 5500, 2000],
  ])
})
