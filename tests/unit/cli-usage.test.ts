import { expect, test } from 'vitest'
import { main as generate } from '$engine/cli/generate'
import { main as score } from '$engine/cli/score'
import { UsageError } from '$engine/cli/usage'

const good = ['--model', 'tales-0.3m', '--prompt', 'Once']

test.each([
  ['an unknown flag', ['--frobnicate'], '--frobnicate'],
  ['a flag without its value', ['--prompt'], '--prompt'],
  ['a stray word', [...good, 'stray'], 'stray'],
  ['no prompt', ['--model', 'tales-0.3m'], '--prompt is missing'],
  ['an empty prompt', ['--model', 'tales-0.3m', '--prompt', ''], '--prompt is empty'],
  ['no model', ['--prompt', 'Once'], '--model is missing'],
  ['a model that is nowhere', ['--model', '/no/such/folder', '--prompt', 'Once'], '--model /no/such/folder'],
  ['an unknown runner', [...good, '--runner', 'abacus'], '--runner must be one of webgpu, wasm, reference'],
  ['no tokens', [...good, '--max-tokens', '0'], '--max-tokens must be a whole number'],
  ['half a token', [...good, '--max-tokens', '1.5'], '--max-tokens must be a whole number'],
  ['tokens in words', [...good, '--max-tokens', 'many'], '--max-tokens must be a whole number'],
  ['a negative temperature', [...good, '--temperature=-1'], '--temperature must be a number'],
  ['a seed that is no number', [...good, '--seed', 'x'], '--seed must be a whole number'],
  ['a group without scales', [...good, '--quant', 'f16', '--group', '32'], '--group is for --quant int8 and int4'],
  ['a group of another size', [...good, '--quant', 'int4', '--group', '48'], '--group must be one of 32, 64, 128'],
  ['minima beside eight bits', [...good, '--quant', 'int8', '--asymmetric'], '--asymmetric is for --quant int4'],
  ['keys in four bits', [...good, '--kv', 'int4'], '--kv must be one of f32, f16, int8'],
  ['a precision nobody has', [...good, '--quant', 'f7'], '--quant must be one of'],
  ['a way to speculate that there is not', [...good, '--speculate', 'magic'], '--speculate: "magic" is no way to speculate'],
  ['too many drafts', [...good, '--speculate', 'linear:99', '--draft', 'tales-0.3m'], "--speculate: speculation's k is 99"],
  ['drafts by nobody', [...good, '--speculate', 'linear:4'], '--draft is missing'],
  ['a draft model that is nowhere', [...good, '--speculate', 'dynamic', '--draft', '/no/such/folder'], '--draft /no/such/folder'],
  ['a draft model for lookup', [...good, '--speculate', 'lookup', '--draft', 'tales-0.3m'], 'leave out --draft'],
  ['a draft model for nothing', [...good, '--draft', 'tales-0.3m'], 'needs --speculate'],
])('generate refuses %s and names it', async (_what, args, words) => {
  const attempt = generate(args)
  await expect(attempt).rejects.toBeInstanceOf(UsageError)
  await expect(attempt).rejects.toThrow(words)
})

test('score refuses a text that is not there', async () => {
  await expect(score(['--model', 'engine', '--text', '/no/such/text'])).rejects.toThrow('/no/such/text could not be read')
  await expect(score(['--model', 'engine'])).rejects.toThrow('--text is missing')
})
