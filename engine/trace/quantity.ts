import type { Provenance } from './provenance'

/** One unit per quantity, everywhere. */
export type Unit =
  | 'ms' | 'ms/token' | 'tok/s' | 'req/s' | 's'
  | '%' | '×' | 'tok' | 'M tok' | 'seq' | 'req' | 'bytes' | 'bits/byte' | 'nats/token' | 'GB/s' | 'GFLOP/s' | 'FLOP/byte' | 'ms/1k chars' | '$' | ''

/** Stable names of numbers on screen (`data-metric`); add, never rename. */
export type MetricName =
  | 'ttft' | 'tpot' | 'itl' | 'e2e' | 'decode_rate' | 'throughput' | 'goodput'
  | 'p50_ttft' | 'p90_ttft' | 'p99_ttft' | 'max_ttft' | 'p50_tpot' | 'p90_tpot' | 'p99_tpot'
  | 'p50_e2e' | 'p90_e2e' | 'p99_e2e' | 'max_e2e'
  | 'prefill_ms' | 'decode_ms' | 'queue_ms' | 'network_ms' | 'exchange_rate'
  | 'kv_bytes' | 'weight_bytes' | 'mbu' | 'mfu' | 'acceptance' | 'intensity' | 'ridge'
  | 'read_bandwidth' | 'matmul_rate' | 'requests' | (string & {})

/** A number that may stand on a slide. */
export interface Quantity {
  metric: MetricName
  value: number
  unit: Unit
  provenance: Provenance
  /** 95 % interval unless the formula says otherwise. */
  interval?: [number, number]
  /** LaTeX. */
  formula?: string
  /** The observations behind it, for the pop-over. */
  samples?: number[]
  /** Below this the clock cannot tell. */
  resolution?: number
  /** One line: what was run, e.g. "60 requests, tales-5m, batch up to 16". */
  note?: string
}
