import { spread, summarize } from '../trace/metrics'
import type { ServerView, Trace } from '../trace/trace'

/** A difference between what the client saw and what the server says, and what makes such a difference. */
export interface Gap {
  name: 'client-pool' | 'buffered-stream' | 'before-the-server' | 'front-end' | 'none' | 'unknown'
  /** In a sentence, with the figures. */
  says: string
  /** What to try. */
  lever?: string
  /** A thread in which somebody met the same. */
  source?: string
}

/** Differences below this are nobody's: timers and the loopback. ms, and share. */
const SMALL_MS = 2
const SMALL = 0.1

/** Requests that the client holds open, mean over the samples' times. */
function meanOpen(trace: Trace, times: readonly number[]): number {
  const begin = new Map<number, number>()
  const spans: [number, number][] = []
  for (const e of trace.events) {
    if (e.kind === 'gateway') begin.set(e.request, e.t)
    else if (e.kind === 'finished' || e.kind === 'failed') spans.push([begin.get(e.request) ?? e.t, e.t])
  }
  return times.reduce((n, t) => n + spans.filter(([from, to]) => from <= t && t < to).length, 0) / Math.max(1, times.length)
}

/**
 * Lays the server's own figures beside the client's and names what lies between: whoever only sees one side takes the
 * other's wait for his own. Means of histograms, since buckets are too wide for percentiles.
 */
export function gaps(trace: Trace, server: ServerView | undefined): Gap[] {
  if (!server) return [{ name: 'unknown', says: 'The server’s own figures are not known, so nothing can be said about what lies between it and the client.' }]
  const client = summarize(trace)
  if (!client.ttft) return [{ name: 'unknown', says: 'No request was answered.' }]
  const found: Gap[] = []
  const others = server.ttft && server.ttft.count > 1.05 * (client.completed + client.failed) + 1
  const note = others ? ` The server also served others meanwhile (${server.ttft!.count} requests against ${client.completed} of this run).` : ''

  const during = server.samples.filter((s) => s.running !== undefined)
  const inServer = during.reduce((n, s) => n + s.running! + (s.waiting ?? 0), 0) / Math.max(1, during.length)
  const open = meanOpen(trace, during.map((s) => s.t))
  if (during.length >= 5 && open > 2 && inServer < (1 - SMALL) * open - 1) {
    found.push({
      name: 'client-pool',
      says: `The client held ${open.toFixed(1)} requests open and the server knew of ${inServer.toFixed(1)}: the others were held back on the way, by a pool of connections or by a proxy.${note}`,
      lever: 'Raise the pool (or the proxy’s limit) above the number of requests in flight.', source: 'https://github.com/huggingface/lighteval/issues/1190',
    })
  }
  const before = server.ttft ? client.ttft.mean - server.ttft.meanMs : undefined
  const itl = client.itl?.mean
  const bursts = shareOfBursts(trace, server.itl?.meanMs)
  const late = before !== undefined && before > Math.max(SMALL_MS, SMALL * server.ttft!.meanMs)
  if (late && bursts > 0.5) {
    found.push({
      name: 'buffered-stream',
      says: `The first token came ${ms(before)} later than the server sent it, and ${(100 * bursts).toFixed(0)} % of the tokens came together with the one before: something on the way holds the stream back and lets it go in bursts.${note}`,
      lever: 'Switch the proxy’s response buffering off for text/event-stream.', source: 'https://github.com/confidential-dot-ai/c8s/issues/140',
    })
  } else if (late) {
    found.push({
      name: 'before-the-server',
      says: `TTFT is ${ms(client.ttft.mean)} for the client and ${ms(server.ttft!.meanMs)} for the server: ${ms(before)} of each request are spent before the server knows of it, on the network, in a gateway, or in connecting.${note}`,
      lever: 'Measure once directly beside the gateway; keep connections alive.', source: 'https://github.com/BerriAI/litellm/issues/11097',
    })
  }
  if (itl !== undefined && server.itl && bursts <= 0.5 && itl - server.itl.meanMs > Math.max(SMALL_MS, SMALL * server.itl.meanMs)) {
    found.push({
      name: 'front-end',
      says: `Between two tokens the client waits ${ms(itl)} and the engine says ${ms(server.itl.meanMs)}: ${ms(itl - server.itl.meanMs)} a token go to detokenising and sending.${note}`,
      lever: 'Give the front end a core of its own; send several tokens in one event.', source: 'https://github.com/sgl-project/sglang/issues/23393',
    })
  }
  if (found.length === 0) {
    const seen = [before !== undefined && `TTFT by ${ms(before)}`, itl !== undefined && server.itl && `the gap between tokens by ${ms(itl - server.itl.meanMs)}`].filter(Boolean).join(', ')
    found.push({ name: 'none', says: `Client and server agree${seen ? ` (they differ in ${seen})` : ''}: what is slow is inside the server.${note}` })
  }
  return found
}

/** Share of tokens after the first that came less than a tenth of the engine's gap after the one before. */
function shareOfBursts(trace: Trace, engineMs: number | undefined): number {
  const gaps = summarize(trace).requests.flatMap((r) => r.itl)
  if (gaps.length === 0 || engineMs === undefined) return 0
  return gaps.filter((g) => g < engineMs / 10).length / gaps.length
}

function ms(x: number): string {
  return `${x.toPrecision(3)} ms`
}

/** How late the generator itself was, ms: from a request's time until its bytes were handed to a connection. */
export function clientLag(trace: Trace): ReturnType<typeof spread> {
  const arrival = new Map(trace.requests.map((r) => [r.id, r.arrival]))
  return spread(trace.events.flatMap((e) => (e.kind === 'gateway' ? [e.t - arrival.get(e.request)!] : [])))
}
