import { profileTable } from '../runner/profile'
import type { Measured } from './machine'

/** A measured machine as lines of text. */
export function profileLines({ profile, phases }: Measured): string[] {
  const { roofs, tuning, largest } = profile
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`
  return [
    `${profile.device.name}${profile.device.software ? ': a software adapter, whose speed says nothing of graphics cards' : ''}`,
    `reads ${roofs.read.map((p) => `${(p.bytesPerSecond / 1e9).toPrecision(3)} GB/s (${p.bytes / 2 ** 20} MB)`).join(', ')}; multiplies ${(roofs.flopsPerSecond / 1e9).toPrecision(3)} GFLOP/s; an empty step takes ${roofs.overheadMs?.toPrecision(3)} ms`,
    ...profile.models.flatMap((m) => [
      '',
      `${m.name}, ${(m.parameters / 1e6).toPrecision(3)} M parameters in ${m.weights.format}, keys and values in ${m.kv}`,
      `  decode ${m.decodeMs.toPrecision(3)} ms a token, prefill ${m.prefillMs.toPrecision(3)} ms a token${m.dispatches === undefined ? '' : `, ${m.dispatches} dispatches a token (5 a layer + 3 are ${5 * m.config.layers + 3})`}`,
      ...m.phases.map((p) => `  ${p.phase}: MBU ${percent(p.mbu)}, MFU ${percent(p.mfu)}`),
      `  batches: ${m.batches.map((b) => `${b.sequences}: ${b.tokensPerSecond.toPrecision(3)} tok/s`).join(', ')}`,
      `  contexts: ${m.contexts.map((c) => `${c.context}: ${c.stepMs.toPrecision(3)} ms`).join(', ')}`,
      `  step cost: ${Object.entries(m.fit.steps).map(([name, value]) => `${name} ${value.toPrecision(3)}`).join(', ')}; off by ${percent(m.fit.error.mean)} on average where it was not fitted, ${percent(m.fit.error.worst)} at worst`,
    ]),
    ...phases.filter((p) => p.kernels.length > 0).flatMap((p) => ['', ...profileTable(p, roofs)]),
    ...(tuning ? ['', 'kernels, by matrix:', ...Object.entries(tuning.matmuls).map(([shape, { plan }]) => `  ${shape}: ${plan.map(({ upTo, way }) => `${upTo < Number.MAX_SAFE_INTEGER ? `to ${upTo} tokens` : 'beyond'} ${way}`).join(', ')}`)] : []),
    ...(largest ? ['', 'largest models that fit:', ...largest.map((l) => `  ${l.kind}, ${l.weights.format}: ${(l.parameters / 1e6).toFixed(0)} M parameters${l.refused ? `; ${(l.refused / 1e6).toFixed(0)} M: ${l.why}` : ''}`)] : []),
  ]
}
