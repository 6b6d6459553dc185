import { roofline, type RooflineOptions } from '../../cost/roofline'
import type { Entry } from './claim'
import { A100_2023, prefillMs, steadyState } from './roofs'

/** Published figures that the roofline alone is judged by: closed formulas, cheap enough for a page. */

export const DATABRICKS = 'MosaicML/Databricks, LLM Inference Performance Engineering'
export const MLPERF_SOURCE = 'MLPerf Inference v4.1'

/** Servers of MLPerf's Llama-2-70B. */
export interface MlperfSystem {
  id: string
  name: string
  /** One group of devices that share each layer. */
  options: RooflineOptions & { hardware: string }
  groups: number
  /** Output tokens per second, published. */
  offline: number
  server: number
  /** Mean, server scenario, ms a token, published. */
  tpot: number
}

export const MLPERF: readonly MlperfSystem[] = [
  { id: '8xh100', name: '8×H100', options: { hardware: 'h100-sxm', model: 'llama-2-70b', tensorParallel: 2, dtype: 'fp8' }, groups: 4, offline: 24525, server: 21606, tpot: 155 },
  { id: '8xh200', name: '8×H200', options: { hardware: 'h200', model: 'llama-2-70b', dtype: 'fp8' }, groups: 8, offline: 31303, server: 29228, tpot: 123 },
  { id: '1xb200', name: '1×B200', options: { hardware: 'b200', model: 'llama-2-70b', dtype: 'fp8' }, groups: 1, offline: 11264, server: 10756, tpot: 132 },
]

/** A system's offline and server rates beside a full server's by roofline. */
export function mlperfRates({ id, name, options, groups, offline, server }: MlperfSystem): [offline: Entry, server: Entry] {
  const chosen = 'ours: FP8, MFU .6, MBU .85, as many requests as memory holds, 294 tokens out (the data set\'s mean) and as many in'
  const conditions = `Llama-2-70B, OpenOrca; ${chosen}${options.tensorParallel ? `, ${groups} pairs` : ''}`
  const rate = (limitMs?: number) => groups * steadyState(options, 294, 294, limitMs).throughput
  // The full server is bound by compute, so its rate goes with the MFU.
  const whyMissed = (published: number, ours: number) =>
    `the published rate implies an MFU of ${((0.6 * published) / ours).toFixed(2)}, not .6${options.tensorParallel ? '; the roofline has no all-reduce between the devices of a pair' : ''}`
  const common = { source: MLPERF_SOURCE, unit: 'tok/s', method: 'roofline', tolerance: 0.25 } as const
  return [
    { ...common, id: `mlperf-llama-2-70b/${id}-offline`, claim: `${name}, offline`, conditions, published: offline, ours: rate(), whyMissed: whyMissed(offline, rate()) },
    {
      ...common, id: `mlperf-llama-2-70b/${id}-server`, claim: `${name}, server`, conditions: `${conditions}, step within the 200 ms of the TPOT limit`, published: server,
      ours: rate(200), whyMissed: `${whyMissed(server, rate(200))}, and arrivals with limits on p99 leave room unused`, note: 'no arrivals and no p99 in it: a full server\'s rate',
    },
  ]
}

export function databricksTensorParallel(): Entry[] {
  const on = (tensorParallel: number) => roofline({ ...A100_2023, model: 'llama-2-70b', tensorParallel })
  const decode = (tp: number) => on(tp).step(1, 512, 0, 0)
  const ttft = (tp: number) => prefillMs(on(tp), 512)
  const common = {
    conditions: 'Llama-2-70B on 4 and 8 A100-40, small batch; ours: batch 1, a prompt of 512 tokens, MFU .52, MBU .56, 1 ms a step',
    source: DATABRICKS, method: 'roofline', tolerance: 0.25,
  } as const
  const whyMissed = 'the roofline divides all work by the number of devices and has no all-reduce after each attention and each FFN'
  return [
    {
      ...common, id: 'databricks-tensor-parallel/decode', claim: 'decode latency, 8 devices over 4', unit: '×', published: 0.7, ours: decode(8) / decode(4),
      whyMissed: `${whyMissed}; a factor of 0.7 means that 40 % of the 4-device step does not shrink with more devices`,
    },
    { ...common, id: 'databricks-tensor-parallel/ttft-4', claim: 'TTFT on 4 devices', unit: 'ms', published: 154, ours: ttft(4), whyMissed },
    { ...common, id: 'databricks-tensor-parallel/ttft-8', claim: 'TTFT on 8 devices', unit: 'ms', published: 114, ours: ttft(8), whyMissed },
  ]
}
