import prompts from '$assets/models/prompts.json'
import { choice, define, integer, linear, log, type Values } from '$components/controls/params'
import type { Context, Reading } from '$components/frame/experiment'
import type { Trace } from '$engine/trace/trace'
import type { Workload } from '$engine/worker/protocol'

export const params = define({
  shared: linear({ from: 0, to: 100, step: 5, default: 80, label: 'Shared', unit: '%', tone: 'prefill', hint: 'Share of the documents in the prompt that is the same for all users.' }),
  order: choice({ options: { 'static-first': 'Shared first', 'user-first': 'User first' }, default: 'static-first', label: 'Order', tone: 'prefill', hint: 'What stands at the beginning of the prompt.' }),
  chunks: integer({ from: 1, to: 20, default: 20, label: 'Documents', tone: 'prefill', hint: 'Retrieved pieces of text in the prompt, some fifty tokens each.' }),
  ttl: log({ from: 1, to: 3600, default: 300, label: 'Kept for', unit: 's', tone: 'queue', hint: 'How long a provider keeps a prefix that nobody asks for.' }),
})

/** Read off the same Traces: nothing is served anew. */
export const redrawn = ['ttl'] as const

export const MODEL = 'tales-5m'
export const USERS = 5
const OUTPUT = 4

/** A stretch of a prompt: what it is, and its text. */
export interface Part {
  key: string
  label: string
  text: string
}

/** One user's request: what it was made of, and what became of it. */
export interface Served {
  parts: Part[]
  trace: Trace
}

export interface PrefixReading extends Reading {
  users: Served[]
}

/** User after user with the same documents in front or behind: the first finds an empty cache. */
export async function* run(p: Values<typeof params>, { engine, signal }: Context): AsyncGenerator<PrefixReading> {
  // What is made when it is first used is no user's wait.
  await engine.serve({ model: MODEL, requests: [{ prompt: prompts[0]!.text, maxTokens: 2 }] }, { signal })
  const users: Served[] = []
  for (let user = 0; user < USERS; user++) {
    const parts = partsOf(p, user)
    const workload: Workload = {
      model: MODEL,
      requests: [{ prompt: parts.map((part) => part.text).join(''), maxTokens: OUTPUT, ignoreEos: true }],
      prefixCache: { keep: user > 0 },
    }
    users.push({ parts, trace: await engine.serve(workload, { signal }) })
    yield { trace: users.at(-1)!.trace, complete: user === USERS - 1, users: [...users] }
  }
}

/** Openings that differ from their first token on, so that nothing is shared by chance. */
const QUESTIONS = ['donkey', 'youngest-prince', 'river', 'encounter', 'bridge'].map((id) => prompts.find((q) => q.id === id)!.text)

export function partsOf({ shared, order, chunks }: Pick<Values<typeof params>, 'shared' | 'order' | 'chunks'>, user: number): Part[] {
  const same = Math.round((chunks * shared) / 100)
  const documents = (from: number, count: number, of: number) => Array.from({ length: count }, (_, i) => documentText(from + i + 20 * of)).join('')
  const common: Part = { key: 'shared', label: 'shared', text: documents(0, same, 0) }
  const own: Part = { key: `user ${user}`, label: `user ${user + 1}`, text: `${QUESTIONS[user]!}\n${documents(same, chunks - same, user + 1)}` }
  return (order === 'static-first' ? [common, own] : [own, common]).filter((part) => part.text !== '')
}

/** A piece of text of some fifty tokens, another for each number. */
function documentText(n: number): string {
  const pick = (k: number) => prompts[(n * 7 + k * 3) % prompts.length]!.text
  return `${n + 1}. ${pick(0)} ${pick(1)} ${pick(2)}\n`
}
