import { expect, test } from 'vitest'
import { Session, type SessionState, type Timers } from '$components/frame/session'
import { serialize } from '$components/frame/serial'
import { follow } from '$components/frame/follow'
import { perRequest } from '$engine/trace/metrics'
import type { Trace } from '$engine/trace/trace'
import type { ModelFolder } from '$engine/worker/protocol'
import { FakeEngine } from '../support/fake-engine'

/** Timers that fire when told to. */
class HandTimers implements Timers {
  now = 0
  private waiting: { at: number; callback: () => void; id: number }[] = []
  private ids = 0
  set(callback: () => void, ms: number): unknown {
    this.waiting.push({ at: this.now + ms, callback, id: ++this.ids })
    return this.ids
  }
  clear(handle: unknown): void {
    this.waiting = this.waiting.filter((w) => w.id !== handle)
  }
  advance(ms: number): void {
    this.now += ms
    const due = this.waiting.filter((w) => w.at <= this.now)
    this.waiting = this.waiting.filter((w) => w.at > this.now)
    for (const w of due) w.callback()
  }
}

/** A run that yields when the test says so. */
class Manual {
  runs: { value: number; signal: AbortSignal; give: (reading: string) => void; end: () => void; fail: (e: unknown) => void }[] = []
  readonly run = (value: number, signal: AbortSignal): AsyncIterable<string> => {
    const queue: IteratorResult<string>[] = []
    let failure: { error: unknown } | undefined
    let wake = () => {}
    const push = (r: IteratorResult<string>) => { queue.push(r); wake() }
    this.runs.push({
      value, signal,
      give: (reading) => push({ value: reading, done: false }),
      end: () => push({ value: undefined, done: true }),
      fail: (error) => { failure = { error }; wake() },
    })
    return {
      [Symbol.asyncIterator]: () => ({
        async next() {
          while (!queue.length && !failure) await new Promise<void>((resolve) => { wake = resolve })
          if (failure) throw failure.error
          return queue.shift()!
        },
      }),
    }
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve))

function session() {
  const timers = new HandTimers()
  const manual = new Manual()
  const shown: SessionState<string>[] = []
  const s = new Session<number, string>(manual.run, (state) => shown.push(state), timers, 100)
  return { s, timers, manual, shown, last: () => shown[shown.length - 1]! }
}

test('fifty moves in a second start one run, for the last value', async () => {
  const { s, timers, manual } = session()
  for (let i = 1; i <= 50; i++) {
    s.change(i)
    timers.advance(20)
  }
  expect(manual.runs.map((r) => r.value)).toEqual([])
  timers.advance(100)
  expect(manual.runs.map((r) => r.value)).toEqual([50])
})

test('a change aborts the run in flight and drops what it had drawn; nothing of it is drawn afterwards', async () => {
  const { s, timers, manual, shown, last } = session()
  s.start(1)
  manual.runs[0]!.give('one')
  await settle()
  expect(last()).toEqual({ phase: 'running', reading: 'one' })

  s.change(2)
  expect(manual.runs[0]!.signal.aborted).toBe(true)
  expect(last()).toEqual({ phase: 'settling' })
  manual.runs[0]!.give('late')
  manual.runs[0]!.fail(new Error('late'))
  await settle()
  timers.advance(100)
  manual.runs[1]!.give('two')
  manual.runs[1]!.end()
  await settle()
  expect(last()).toEqual({ phase: 'done', reading: 'two' })
  expect(JSON.stringify(shown)).not.toContain('late')
})

test('coming back to what is done, or asking twice, starts nothing', async () => {
  const { s, manual, last } = session()
  s.start(7)
  s.start(7)
  expect(manual.runs).toHaveLength(1)
  manual.runs[0]!.give('seven')
  manual.runs[0]!.end()
  await settle()
  s.stop()
  s.start(7)
  await settle()
  expect(manual.runs).toHaveLength(1)
  expect(last()).toEqual({ phase: 'done', reading: 'seven' })
})

test('leaving in the middle of a run aborts it and clears it; coming back starts it once', async () => {
  const { s, manual, last } = session()
  s.start(7)
  manual.runs[0]!.give('half')
  await settle()
  s.stop()
  expect(manual.runs[0]!.signal.aborted).toBe(true)
  expect(last()).toEqual({ phase: 'idle' })
  s.start(7)
  expect(manual.runs).toHaveLength(2)
})

test('a failure is shown, and another try runs again', async () => {
  const { s, manual, last } = session()
  s.start(7)
  manual.runs[0]!.fail(new Error('no model'))
  await settle()
  expect(last()).toMatchObject({ phase: 'failed', error: { message: 'no model' } })
  s.again(7)
  expect(manual.runs).toHaveLength(2)
})

const virtual = (fake: FakeEngine) => ({ machine: (model: string) => fake.machine(model), quality: fake.quality, cascade: fake.cascade, simulate: fake.simulate, curve: fake.curve, bring: (folder?: ModelFolder) => fake.bring(folder) })

test('one workload at a time: the second begins when the first has ended, and one aborted in line never begins', async () => {
  const fake = new FakeEngine()
  const order: string[] = []
  const engine = serialize({
    ...virtual(fake),
    open: () => fake.open({}),
    close() {},
    async serve(workload) {
      order.push(`begin ${workload.model}`)
      await settle()
      order.push(`end ${workload.model}`)
      return {} as Trace
    },
  })
  const gone = new AbortController()
  const runs = [
    engine.serve({ model: 'a', requests: [] }),
    engine.serve({ model: 'b', requests: [] }, { signal: gone.signal }),
    engine.serve({ model: 'c', requests: [] }),
  ]
  gone.abort(new Error('left'))
  const results = await Promise.allSettled(runs)
  expect(order).toEqual(['begin a', 'end a', 'begin c', 'end c'])
  expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

test('a run that fails does not block the next one', async () => {
  let count = 0
  const fake = new FakeEngine()
  const engine = serialize({
    ...virtual(fake),
    open: () => fake.open({}),
    close() {},
    serve: () => (count++ === 0 ? Promise.reject(new Error('first')) : Promise.resolve({} as Trace)),
  })
  await expect(engine.serve({ model: 'a', requests: [] })).rejects.toThrow('first')
  await expect(engine.serve({ model: 'b', requests: [] })).resolves.toEqual({})
})

test('follow yields growing copies and at last the whole Trace', async () => {
  const engine = new FakeEngine()
  const seen: { tokens: number; complete: boolean; trace: Trace }[] = []
  const tokens = (t: Trace) => t.events.filter((e) => e.kind === 'token').length
  for await (const { trace, complete } of follow(engine, { model: 'm', requests: [{ prompt: 8, maxTokens: 20 }] }, new AbortController().signal)) {
    seen.push({ tokens: tokens(trace), complete, trace })
  }
  const last = seen[seen.length - 1]!
  expect(last.complete).toBe(true)
  expect(seen.slice(0, -1).every((s) => !s.complete)).toBe(true)
  expect(perRequest(last.trace)[0]!.outputTokens).toBe(20)
  expect(seen.map((s) => s.tokens)).toEqual([...seen.map((s) => s.tokens)].sort((a, b) => a - b))
  // What was yielded early has not grown behind the reader's back.
  expect(seen.map((s) => tokens(s.trace))).toEqual(seen.map((s) => s.tokens))
})

test('follow rejects with the signal’s reason once aborted', async () => {
  const gone = new AbortController()
  gone.abort(new DOMException('slide left', 'AbortError'))
  const run = async () => {
    for await (const reading of follow(new FakeEngine(), { model: 'm', requests: [{ prompt: 8, maxTokens: 20 }] }, gone.signal)) void reading
  }
  await expect(run()).rejects.toThrow('slide left')
})
