/**
 * Accelerators, dense rates without sparsity (vendors' data sheets, as collected in REFERENCE §4).
 * Bandwidth in bytes/s, rates in FLOP/s, memory in bytes (10⁹, as vendors count).
 */
export interface Hardware {
  name: string
  label: string
  bytesPerSecond: number
  /** 16-bit (BF16 or FP16) matrix rate. */
  flops16: number
  /** 8-bit rate, where the chip has one. */
  flops8?: number
  memoryBytes: number
  /** Share of the 16-bit and of the 8-bit matrix rate that large multiplications reach. */
  matmul: number
  matmul8: number
  /** Share of the bandwidth that reading weights reaches. */
  reading: number
}

/**
 * Largest BF16 matrix rate that anybody measured, against the data sheet's (Bekman, ML Engineering, "Maximum
 * Achievable Matmul FLOPS": A100 SXM .859, H100 SXM .801, B200 .776, MI300X .601). The middle of NVIDIA's
 * stands for whoever is not in that table.
 */
const MATMUL: Record<string, number> = { 'a100-40-sxm': 0.859, 'a100-80-sxm': 0.859, 'h100-sxm': 0.801, h200: 0.801, b200: 0.776, mi300x: 0.601 }
const MATMUL_ELSEWHERE = 0.8
/** Whole servers in FP8: MLPerf Inference v4.1's with Llama-2-70B imply .43 (H100), .55 (H200) and .70 (B200), offline. */
const MATMUL8 = 0.6
/** Copies of gigabytes reach nine tenths of the data sheet's bandwidth; weights come in matrices of tens of megabytes, each with a beginning and an end. */
const READING = 0.85

const row = (name: string, label: string, terabytes: number, bf16: number, fp8: number | undefined, gigabytes: number): Hardware => ({
  name, label, bytesPerSecond: terabytes * 1e12, flops16: bf16 * 1e12, flops8: fp8 === undefined ? undefined : fp8 * 1e12, memoryBytes: gigabytes * 1e9,
  matmul: MATMUL[name] ?? MATMUL_ELSEWHERE, matmul8: MATMUL8, reading: READING,
})

export const HARDWARE: readonly Hardware[] = [
  row('a100-40-sxm', 'A100 40 GB', 1.555, 312, undefined, 40),
  row('a100-80-sxm', 'A100 80 GB', 2.039, 312, undefined, 80),
  row('h100-pcie', 'H100 PCIe', 2.0, 756, 1513, 80),
  row('h100-sxm', 'H100 SXM', 3.35, 989, 1978, 80),
  row('h200', 'H200', 4.8, 989, 1978, 141),
  row('b200', 'B200', 7.7, 2250, 4500, 180),
  row('l4', 'L4', 0.3, 121, 242, 24),
  row('l40s', 'L40S', 0.864, 362, 733, 48),
  row('rtx-4090', 'RTX 4090', 1.008, 165, 330, 24),
  row('mi300x', 'MI300X', 5.3, 1307, 2615, 192),
  row('tpu-v5e', 'TPU v5e', 0.819, 197, undefined, 16),
  row('tpu-v5p', 'TPU v5p', 2.765, 459, undefined, 95),
  row('m2-max', 'M2 Max', 0.4, 27, undefined, 96),
  row('m3-max', 'M3 Max', 0.4, 28, undefined, 128),
  row('m4-max', 'M4 Max', 0.546, 37, undefined, 128),
]

/** By name. Throws RangeError listing the names there are. */
export function hardware(name: string): Hardware {
  const found = HARDWARE.find((h) => h.name === name)
  if (!found) throw new RangeError(`hardware ${JSON.stringify(name)} is not in the catalogue: ${HARDWARE.map((h) => h.name).join(', ')}`)
  return found
}
