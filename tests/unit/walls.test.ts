import { ESLint } from 'eslint'
import { expect, test } from 'vitest'

// The files do not exist: without types, which these rules do not need.
const eslint = new ESLint({
  overrideConfig: {
    languageOptions: { parserOptions: { projectService: false } },
    rules: { '@typescript-eslint/no-floating-promises': 'off', '@typescript-eslint/await-thenable': 'off', '@typescript-eslint/no-unused-vars': 'off' },
  },
})

async function complaints(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath })
  return result!.messages.map((m) => m.ruleId ?? m.message)
}

const WALL = '@typescript-eslint/no-restricted-imports'

test.each([
  ['engine/trace/x.ts', `import { work } from '../model/work'`],
  ['engine/trace/x.ts', `import { scaleLinear } from 'd3-scale'`],
  ['engine/serving/x.ts', `import Pill from '$components/motif/TokenPill.svelte'`],
  ['engine/runner/webgpu/x.ts', `import { deck } from '../../../slides/deck'`],
  ['engine/model/x.ts', `import { mount } from 'svelte'`],
  ['engine/serving/x.ts', `import { EngineHost } from '../worker/host'`],
  ['engine/worker/x.ts', `import { deck } from '$slides/deck'`],
  ['components/motif/x.ts', `import { deck } from '$slides/deck'`],
  ['components/motif/x.ts', `import { createWasmRunner } from '$engine/runner/wasm'`],
  ['components/motif/X.svelte', `<script lang="ts">\n  import { createWasmRunner } from '$engine/runner/wasm'\n  createWasmRunner\n</script>`],
  ['slides/05_latency_components/x.ts', `import { Scheduler } from '../../engine/serving/scheduler'`],
])('%s may not: %s', async (file, code) => {
  expect(await complaints(file, code)).toContain(WALL)
})

test.each([
  ['engine/trace/x.ts', `import type { Trace } from './trace'`],
  ['engine/serving/x.ts', `import { work } from '../model/work'`],
  ['engine/runner/wasm/x.ts', `import { startHelper } from './worker'`],
  ['engine/cli/x.ts', `import { EngineHost } from '../worker/host'`],
  ['components/motif/x.ts', `import { summarize } from '$engine/trace/metrics'`],
  ['components/motif/x.ts', `import type { ModelConfig } from '$engine/model/config'`],
  ['slides/05_latency_components/x.ts', `import { createEngine } from '$engine/worker/client'`],
  ['slides/21_new_hardware/x.ts', `import { roofline } from '$engine/cost/roofline'`],
  ['slides/05_latency_components/x.ts', `import { define } from '$components/controls/params'`],
  ['tests/unit/x.ts', `import { Scheduler } from '$engine/serving/scheduler'`],
])('%s may: %s', async (file, code) => {
  expect(await complaints(file, code)).not.toContain(WALL)
})

test('the engine has no document', async () => {
  expect(await complaints('engine/serving/x.ts', `export const title = document.title`)).toContain('no-restricted-globals')
  expect(await complaints('components/motif/x.ts', `export const title = document.title`)).toEqual([])
})

test('random numbers come from a seed', async () => {
  expect(await complaints('engine/serving/x.ts', `export const x = Math.random()`)).toContain('no-restricted-properties')
})
