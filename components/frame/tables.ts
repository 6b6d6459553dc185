/**
 * Arrays of like objects (a Trace's events, steps and requests) as tables by column, columns of numbers as the
 * differences between neighbours where that is shorter: a compressor finds in them what it would not see row by
 * row, a tenth of the bytes. In a column that passes one, numbers keep three decimals: of a time in ms, the microsecond. Reducers and revivers of devalue, which walks the rest.
 */
export const reducers = (shared: ReadonlySet<unknown>): Record<string, (value: unknown) => unknown> => ({
  Numbers: (x) => isArrayOf(x, FEWEST_NUMBERS, (v) => typeof v === 'number' && Number.isFinite(v)) && numbersText(x as number[]),
  Rows: (x) => isArrayOf(x, FEWEST_ROWS, (v) => isRow(v) && !shared.has(v)) && { count: (x as Row[]).length, columns: columnsOf(x as Row[]) },
  Lists: (x) => isArrayOf(x, FEWEST_ROWS, (v) => Array.isArray(v) && !shared.has(v)) && { lengths: (x as unknown[][]).map((list) => list.length), items: (x as unknown[][]).flat() },
  Holes: (x) => x instanceof Holes && { ...x },
})

export const revivers: Record<string, (value: never) => unknown> = {
  Numbers: numbersOf,
  Rows: ({ count, columns }: { count: number; columns: Record<string, unknown[] | Holes> }) => {
    const rows: Row[] = Array.from({ length: count }, () => ({}))
    for (const [key, column] of Object.entries(columns)) {
      if (column instanceof Holes) column.at.forEach((row, i) => { rows[row]![key] = column.values[i] })
      else column.forEach((value, row) => { rows[row]![key] = value })
    }
    return rows
  },
  Lists: ({ lengths, items }: { lengths: number[]; items: unknown[] }) => {
    let from = 0
    return lengths.map((length) => items.slice(from, (from += length)))
  },
  Holes: ({ at, values }: Holes) => new Holes(at, values),
}

type Row = Record<string, unknown>

const FEWEST_NUMBERS = 6
const FEWEST_ROWS = 3

/** A column that not every row has a value in. */
class Holes {
  constructor(
    readonly at: number[],
    readonly values: unknown[],
  ) {}
}

function isArrayOf(x: unknown, fewest: number, is: (value: unknown) => boolean): boolean {
  return Array.isArray(x) && x.length >= fewest && x.every(is)
}

function isRow(x: unknown): boolean {
  return typeof x === 'object' && x !== null && Object.getPrototypeOf(x) === Object.prototype
}

function columnsOf(rows: readonly Row[]): Record<string, unknown[] | Holes> {
  const columns: Record<string, unknown[] | Holes> = {}
  for (const key of new Set(rows.flatMap((row) => Object.keys(row)))) {
    const at = rows.flatMap((row, i) => (row[key] === undefined ? [] : [i]))
    const values = at.map((i) => rows[i]![key])
    if (at.length) columns[key] = at.length === rows.length ? values : new Holes(at, values)
  }
  return columns
}

/** Three decimals; of what is smaller than one, six digits. */
export function rounded(x: number): number {
  if (!Number.isFinite(x) || Number.isInteger(x)) return x
  return Math.abs(x) < 1 ? Number(x.toPrecision(6)) : Number(x.toFixed(3))
}

/** "=1,2,3" as they are; "+1000,1,1" differences of thousandths, "'1,1,1" of whole numbers. */
function numbersText(values: readonly number[]): string {
  const whole = values.every(Number.isSafeInteger)
  const large = values.some((x) => Math.abs(x) >= 1)
  const plain = `=${values.map((x) => (large ? Number(x.toFixed(3)) : x)).join()}`
  const units = whole ? [...values] : values.map((x) => Math.round(x * 1000))
  if (!(whole || large) || !units.every((x) => Math.abs(x) < 2 ** 51)) return plain
  const steps = `${whole ? "'" : '+'}${units.map((x, i) => x - (units[i - 1] ?? 0)).join()}`
  return steps.length < plain.length ? steps : plain
}

function numbersOf(text: string): number[] {
  const values = text.slice(1).split(',').map(Number)
  if (text[0] === '=') return values
  let sum = 0
  return values.map((step) => {
    sum += step
    return text[0] === '+' ? sum / 1000 : sum
  })
}
