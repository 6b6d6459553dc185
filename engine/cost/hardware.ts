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
}

const row = (name: string, label: string, terabytes: number, bf16: number, fp8: number | undefined, gigabytes: number): Hardware => ({
  name, label, bytesPerSecond: terabytes * 1e12, flops16: bf16 * 1e12, flops8: fp8 === undefined ? undefined : fp8 * 1e12, memoryBytes: gigabytes * 1e9,
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
