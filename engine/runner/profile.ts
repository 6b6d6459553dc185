import { roofline } from '../trace/bottleneck'
import type { Roofs } from '../trace/trace'
import type { Work } from '../model/work'
import type { Runner } from './runner'

/** One launch of a kernel (a GPU's dispatch, a WebAssembly job): what it took and what it had to do. */
export interface KernelTime {
  name: string
  /** ms since the step began; absent where the device only tells durations. */
  start?: number
  ms: number
  flops: number
  /** Bytes it has to read and write at least. */
  bytes: number
}

/** A runner opened with the option `profile`. */
export interface ProfiledRunner extends Runner {
  /** Of the last batch, in order. */
  readonly profile: readonly KernelTime[]
}

/** A step taken under the profiler. */
export interface PhaseProfile {
  /** 'prefill of 256', 'decode at 64'. */
  phase: string
  kernels: readonly KernelTime[]
  /** The step on a runner that is not being profiled, ms. */
  stepMs: number
  /** What the step asks of the machine. */
  work: Work
}

/** All launches of one kernel in a step. */
export interface KernelShare extends Omit<KernelTime, 'start'> {
  launches: number
}

/** Launches summed by kernel, longest first. */
export function byKernel(times: readonly KernelTime[]): KernelShare[] {
  const shares = new Map<string, KernelShare>()
  for (const { name, ms, flops, bytes } of times) {
    const share = shares.get(name) ?? { name, launches: 0, ms: 0, flops: 0, bytes: 0 }
    shares.set(name, { name, launches: share.launches + 1, ms: share.ms + ms, flops: share.flops + flops, bytes: share.bytes + bytes })
  }
  return [...shares.values()].sort((a, b) => b.ms - a.ms)
}

/** Bandwidth and FLOP utilisation of a step against the measured roofs, 0 … 1 (REFERENCE §1). */
export function utilisationOf({ stepMs, work }: PhaseProfile, roofs: Roofs): { mbu: number; mfu: number } {
  const memory = roofline(roofs, 0, work.bytes, work.workingSet).ms
  return { mbu: Math.min(1, memory / stepMs), mfu: Math.min(1, (work.flops / roofs.flopsPerSecond) * 1000 / stepMs) }
}

/** A phase as lines of text: a row for every kernel, then the whole step. */
export function profileTable(profile: PhaseProfile, roofs: Roofs): string[] {
  const shares = byKernel(profile.kernels)
  const all = shares.reduce((sum, share) => sum + share.ms, 0)
  const cells = [
    ['kernel', 'launches', 'ms', 'share', 'MFLOP', 'MB', 'GFLOP/s', 'GB/s'],
    ...shares.map(({ name, launches, ms, flops, bytes }) => [
      name, String(launches), ms.toFixed(3), `${((ms / all) * 100).toFixed(0)} %`, (flops / 1e6).toFixed(2), (bytes / 1e6).toFixed(2),
      ms > 0 ? (flops / ms / 1e6).toFixed(1) : '', ms > 0 ? (bytes / ms / 1e6).toFixed(1) : '',
    ]),
  ]
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)))
  const { mbu, mfu } = utilisationOf(profile, roofs)
  return [
    profile.phase,
    ...cells.map((row) => `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}`.trimEnd()),
    `  the step, not profiled: ${profile.stepMs.toFixed(3)} ms, MBU ${(mbu * 100).toFixed(0)} %, MFU ${(mfu * 100).toFixed(0)} %`,
  ]
}

/** Chrome's trace format (chrome://tracing, Perfetto): a lane for every phase, one behind the other in time. */
export function chromeTrace(device: string, profiles: readonly PhaseProfile[]): { traceEvents: object[]; displayTimeUnit: 'ms' } {
  const traceEvents: object[] = [{ ph: 'M', name: 'process_name', pid: 1, args: { name: device } }]
  let begin = 0
  for (const [lane, { phase, kernels }] of profiles.entries()) {
    traceEvents.push({ ph: 'M', name: 'thread_name', pid: 1, tid: lane + 1, args: { name: phase } })
    let end = begin
    for (const { name, start, ms, flops, bytes } of kernels) {
      const from = start === undefined ? end : begin + start
      traceEvents.push({ ph: 'X', name, cat: 'kernel', pid: 1, tid: lane + 1, ts: from * 1000, dur: ms * 1000, args: { flops, bytes, 'GFLOP/s': flops / ms / 1e6, 'GB/s': bytes / ms / 1e6 } })
      end = Math.max(end, from + ms)
    }
    begin = end
  }
  return { traceEvents, displayTimeUnit: 'ms' }
}
