/** One line of a Prometheus exposition. */
export interface Sample {
  labels: Readonly<Record<string, string>>
  value: number
}

/** A server's metrics by name, all series of each. */
export type Metrics = ReadonlyMap<string, readonly Sample[]>

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/

/** Reads Prometheus' text format (0.0.4, and OpenMetrics' as far as it is the same). Lines that are none of it are passed over: they say nothing about the others. */
export function parseMetrics(text: string): Metrics {
  const out = new Map<string, Sample[]>()
  for (const line of text.split('\n')) {
    const read = readLine(line)
    if (!read) continue
    const series = out.get(read.name)
    if (series) series.push(read)
    else out.set(read.name, [read])
  }
  return out
}

function readLine(line: string): (Sample & { name: string }) | undefined {
  const name = NAME.exec(line)?.[0]
  if (name === undefined) return undefined // comments, blank lines
  let at = name.length
  const labels: Record<string, string> = {}
  if (line[at] === '{') {
    at++
    while (line[at] !== '}') {
      const label = /^[a-zA-Z_][a-zA-Z0-9_]*/.exec(line.slice(at))?.[0]
      if (label === undefined || line.slice(at + label.length, at + label.length + 2) !== '="') return undefined
      at += label.length + 2
      let value = ''
      for (; line[at] !== '"'; at++) {
        if (at >= line.length) return undefined
        if (line[at] === '\\') value += line[++at] === 'n' ? '\n' : (line[at] ?? '')
        else value += line[at]
      }
      labels[label] = value
      at++
      if (line[at] === ',') at++
      else if (line[at] !== '}') return undefined
    }
    at++
  }
  const number = /^\s+(\S+)/.exec(line.slice(at))?.[1]
  if (number === undefined) return undefined
  const value = number === '+Inf' ? Infinity : number === '-Inf' ? -Infinity : Number(number)
  return Number.isNaN(value) ? undefined : { name, labels, value }
}

/** Sum over all series of the first of these names that is there (several engines behind one address add up). */
export function total(metrics: Metrics, names: readonly string[]): number | undefined {
  for (const name of names) {
    const series = metrics.get(name)
    if (series?.length) return series.reduce((n, s) => n + s.value, 0)
  }
  return undefined
}

/** Mean over all series, for shares. */
export function mean(metrics: Metrics, names: readonly string[]): number | undefined {
  for (const name of names) {
    const series = metrics.get(name)
    if (series?.length) return series.reduce((n, s) => n + s.value, 0) / series.length
  }
  return undefined
}

/** A label of the first series that has it. */
export function label(metrics: Metrics, name: string, key: string): string | undefined {
  return metrics.get(name)?.find((s) => key in s.labels)?.labels[key]
}
