import { RunnerError } from '../runner'

/** What kernels are chosen by. */
export interface DeviceTraits {
  /** The adapter computes on the CPU: barriers are dear, every invocation is a loop iteration. */
  software: boolean
  subgroups: boolean
  timestamps: boolean
  limits: GPUSupportedLimits
  /** What tells this device and driver from others: what is tuned for one holds for no other. */
  key: string
}

/** An opened device, its traits, and what it is called. */
export interface OpenDevice extends DeviceTraits {
  device: GPUDevice
  /** "Apple M3", "SwiftShader (software)". */
  name: string
  /** Vendor, architecture and description as the adapter states them. */
  adapter: string
  /** False for a device handed in: whoever made it destroys it. */
  owned: boolean
}

export interface DeviceOptions {
  /** Where adapters come from (default: the browser's navigator.gpu; Dawn for Node hands in its own). */
  gpu?: GPU
  adapter?: GPUAdapter
  device?: GPUDevice
}

export type Probe =
  | { adapter: GPUAdapter; info: GPUAdapterInfo; software: boolean; limits: GPUSupportedLimits }
  | { reason: string }

/** Asks for an adapter without opening a device. Never throws: `reason` says in a sentence why there is none. */
export async function probeWebGpu(gpu: GPU | undefined = globalThis.navigator?.gpu): Promise<Probe> {
  if (!gpu) {
    return { reason: globalThis.isSecureContext === false
      ? 'WebGPU needs a secure page: open this one over https or from localhost.'
      : 'This browser has no WebGPU (navigator.gpu is absent).' }
  }
  let adapter: GPUAdapter | null
  try {
    adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  } catch (cause) {
    return { reason: `WebGPU is there, but asking for an adapter failed: ${wordsOf(cause)}` }
  }
  if (!adapter) return { reason: 'WebGPU is there, but the browser offers no adapter: no graphics card, or its driver is on the block list.' }
  const missing = missingLimit(adapter.limits)
  if (missing) return { reason: missing }
  return { adapter, info: adapter.info, software: isSoftware(adapter.info), limits: adapter.limits }
}

/**
 * Opens a device with the adapter's own buffer limits (the defaults stop at 128 MiB a binding), or describes
 * the one handed in. Throws RunnerError('unsupported') with the probe's sentence.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<OpenDevice> {
  if (options.device) return describe(options.device, options.device.adapterInfo ?? options.adapter?.info, false)
  let adapter = options.adapter
  if (!adapter) {
    const probe = await probeWebGpu(options.gpu)
    if ('reason' in probe) throw new RunnerError(probe.reason, 'unsupported')
    adapter = probe.adapter
  }
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits
  const wanted: GPUFeatureName[] = ['timestamp-query', 'subgroups']
  let device: GPUDevice
  try {
    device = await adapter.requestDevice({
      label: 'token expressway',
      requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)),
      requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize },
    })
  } catch (cause) {
    throw new RunnerError(`The graphics card is there, but its driver would not open it: ${wordsOf(cause)}`, 'unsupported', { cause })
  }
  return describe(device, adapter.info, true)
}

function describe(device: GPUDevice, info: GPUAdapterInfo | undefined, owned: boolean): OpenDevice {
  const adapter = [info?.vendor, info?.architecture, info?.description].filter(Boolean).join(' ')
  const software = info !== undefined && isSoftware(info)
  const name = info?.description || [info?.vendor, info?.architecture].filter(Boolean).join(' ') || 'unnamed graphics card'
  return {
    device,
    name: software ? `${/swiftshader/i.test(adapter) ? 'SwiftShader' : name} (software)` : name,
    adapter,
    owned,
    software,
    subgroups: device.features.has('subgroups'),
    timestamps: device.features.has('timestamp-query'),
    limits: device.limits,
    key: [adapter, ...[...device.features].sort(), device.limits.maxComputeWorkgroupStorageSize].join(' '),
  }
}

function isSoftware(info: GPUAdapterInfo): boolean {
  const words = [info.vendor, info.architecture, info.device, info.description].join(' ')
  return info.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|softpipe|basic render/i.test(words)
}

/** The widest kernel (RMSNorm + QKV + RoPE) binds eight storage buffers and others run 256 invocations together. */
function missingLimit(limits: GPUSupportedLimits): string | undefined {
  if (limits.maxStorageBuffersPerShaderStage < 8) return `The kernels bind 8 storage buffers at once, this graphics card allows ${limits.maxStorageBuffersPerShaderStage}.`
  if (limits.maxComputeInvocationsPerWorkgroup < 256) return `The kernels run 256 invocations together, this graphics card allows ${limits.maxComputeInvocationsPerWorkgroup}.`
  return undefined
}

/** An error's own words, whatever was thrown; a GPUError is no Error. */
export function wordsOf(cause: unknown): string {
  const message = (cause as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : String(cause)
}
