import type { Bottleneck } from '$engine/trace/bottleneck'
import type { IconName } from '$assets/icons'
import type { Tone } from '$components/controls/params'

/** How each of the five places where time goes is named and drawn. */
export const BOTTLENECK_LOOKS: Record<Bottleneck, { name: string; icon: IconName; tone: Tone; meaning: string }> = {
  compute: { name: 'Compute', icon: 'chip', tone: 'prefill', meaning: 'arithmetic at its best measured rate' },
  memory: { name: 'Memory', icon: 'memory-stack', tone: 'decode', meaning: 'reading weights and KV cache' },
  queue: { name: 'Queue', icon: 'toll-gate', tone: 'queue', meaning: "in line, or waiting for others' work in a step" },
  network: { name: 'Network', icon: 'network', tone: 'neutral', meaning: 'there and back' },
  overhead: { name: 'Overhead', icon: 'gear', tone: 'neutral', meaning: 'dispatch, readback, interpreter, idle' },
}
