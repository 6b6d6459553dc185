import type { Provenance } from '$engine/trace/provenance'

/** Share of MMLU's questions answered rightly, %: instruction-tuned, five examples (Meta's model cards of Llama 3.1 and 3.2). By name in the catalogue. */
export const MMLU: Readonly<Record<string, number>> = { 'llama-3.2-1b': 49.3, 'llama-3.2-3b': 63.4, 'llama-3.1-8b': 69.4, 'llama-3.1-70b': 83.6, 'llama-3.1-405b': 87.3 }

export const MMLU_PROVENANCE: Provenance = { how: 'published', source: 'Meta, model cards of Llama 3.1 and 3.2', conditions: 'MMLU, instruction-tuned, five examples' }
