import { describe, expect, test } from 'vitest'
import { hardware, HARDWARE } from '$engine/cost/hardware'
import { activeParameters, kvBytesPerToken, modelSpec, MODELS, totalParameters, touchedParameters } from '$engine/cost/models'

describe('model catalogue', () => {
  // Parameters as the model cards give them; KV bytes per token as in REFERENCE §4.
  test.each([
    ['llama-2-7b', 6.74e9, 524288], ['llama-2-70b', 68.98e9, 327680], ['llama-3.1-8b', 8.03e9, 131072], ['llama-3.2-1b', 1.236e9, 32768], ['llama-3.2-3b', 3.213e9, 114688], ['llama-3.1-70b', 70.55e9, 327680],
    ['llama-3.1-405b', 405.85e9, 516096], ['mixtral-8x7b', 46.7e9, 131072], ['qwen2.5-7b', 7.62e9, 57344], ['mistral-7b', 7.24e9, 131072],
    ['mpt-7b', 6.65e9, 524288], ['opt-13b', 12.85e9, 819200], ['pythia-2.8b', 2.775e9, 327680], ['pythia-70m', 70.4e6, 12288], ['deepseek-v3', 671e9, 70272],
  ])('%s', (name, parameters, kv) => {
    expect(totalParameters(modelSpec(name)) / parameters).toBeCloseTo(1, 2)
    expect(kvBytesPerToken(modelSpec(name), 2)).toBe(kv)
  })
  test('all of them are checked', () => expect(MODELS.length).toBe(15))
  test('a MoE token meets two experts of eight; a large batch reads them all', () => {
    const m = modelSpec('mixtral-8x7b')
    expect((activeParameters(m) + 2 * m.vocab * m.hidden) / 12.9e9).toBeCloseTo(1, 2) // "12.9B active"
    expect(touchedParameters(m, 1) / activeParameters(m)).toBeCloseTo(1, 9)
    expect(touchedParameters(m, 1000) / (totalParameters(m) - 2 * m.vocab * m.hidden)).toBeCloseTo(1, 9)
    // "37B activated" counts the unembedding.
    const v3 = modelSpec('deepseek-v3')
    expect((activeParameters(v3) + v3.vocab * v3.hidden) / 36.6e9).toBeCloseTo(1, 2)
  })
  test('a dense model cut into experts has the same weights, and each token meets a quarter of its FFN', () => {
    const [dense, cut] = [modelSpec('llama-3.1-8b'), modelSpec('llama-3.1-8b:8x2')]
    const ffn = 32 * 3 * 4096 * 14336
    const routers = 32 * 4096 * 8
    expect(totalParameters(cut) - totalParameters(dense)).toBe(routers)
    expect(activeParameters(dense) - activeParameters(cut)).toBe(ffn * 0.75 - routers)
    expect(() => modelSpec('llama-3.1-8b:3x2')).toThrow('cannot be cut')
    expect(() => modelSpec('mixtral-8x7b:8x2')).toThrow('already')
  })
  test('an unknown name lists the names', () => {
    expect(() => modelSpec('gpt-5')).toThrow('llama-3.1-8b')
    expect(() => hardware('abacus')).toThrow('h100-sxm')
  })
})

test('hardware: FP8 is twice BF16 where there is FP8, names are unique', () => {
  for (const h of HARDWARE) if (h.flops8) expect(h.flops8 / h.flops16).toBeCloseTo(2, 1)
  expect(new Set(HARDWARE.map((h) => h.name)).size).toBe(HARDWARE.length)
})
