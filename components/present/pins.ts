import type { Reading } from '$components/frame/experiment'
import { asRecorded } from '$components/frame/recording'

const DATABASE = 'token-expressway-talk'
const TABLE = 'readings'
/** Readings kept at most; the oldest goes first. */
const MOST = 150

interface Pin {
  key: string
  at: number
  reading: Reading
}

/** What was read in this talk, so that a frozen one can show it again: by slide, values and lens. */
const here = new Map<string, Pin>()

/** Readings of another build of the deck may have another shape: they are not found. */
const build = () => document.querySelector<HTMLScriptElement>('script[type=module][src]')?.src ?? ''

/** Keeps a finished reading, in the browser too where that is allowed. */
export async function keep(name: string, reading: Reading): Promise<void> {
  const pin: Pin = { key: `${build()} ${name}`, at: Date.now(), reading }
  here.set(pin.key, pin)
  try {
    await inTable('readwrite', (table) => table.put(pin, pin.key))
    const keys = await inTable('readonly', (table) => table.getAllKeys())
    if (keys.length > MOST) {
      const pins = await inTable('readonly', (table) => table.getAll() as IDBRequest<Pin[]>)
      for (const { key } of pins.sort((a, b) => a.at - b.at).slice(0, pins.length - MOST)) await inTable('readwrite', (table) => table.delete(key))
    }
  } catch {
    // Storage that is denied or full: it is kept until the window closes.
  }
}

/** The reading of that name as a recording of this device; undefined: none was kept. */
export async function pinned<R extends Reading>(name: string): Promise<R | undefined> {
  const key = `${build()} ${name}`
  let pin = here.get(key)
  if (!pin) pin = await inTable('readonly', (table) => table.get(key) as IDBRequest<Pin | undefined>).catch(() => undefined)
  return pin && asRecorded(pin.reading as R)
}

function inTable<T>(mode: IDBTransactionMode, run: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const open = indexedDB.open(DATABASE, 1)
    open.onupgradeneeded = () => open.result.createObjectStore(TABLE)
    open.onerror = () => reject(open.error ?? new Error('storage is denied'))
    open.onsuccess = () => {
      const database = open.result
      const transaction = database.transaction(TABLE, mode)
      let query: IDBRequest<T>
      try {
        query = run(transaction.objectStore(TABLE))
      } catch (error) {
        database.close()
        reject(error as Error)
        return
      }
      transaction.oncomplete = () => {
        database.close()
        resolve(query.result)
      }
      transaction.onabort = transaction.onerror = () => {
        database.close()
        reject(transaction.error ?? new Error('storage failed'))
      }
    }
  })
}
