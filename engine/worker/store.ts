import type { Calibration } from './protocol'

/** Where a calibration is kept between visits. */
export interface CalibrationStore {
  get(key: string): Promise<Calibration | undefined>
  set(key: string, value: Calibration): Promise<void>
}

const DATABASE = 'token-expressway'
const TABLE = 'calibrations'

/**
 * IndexedDB, where the page may use it. Storage that is denied or full is no reason not to run: the
 * calibration is then made again on the next visit.
 */
export const indexedDbStore: CalibrationStore = {
  async get(key) {
    try {
      return await request<Calibration | undefined>('readonly', (table) => table.get(key))
    } catch {
      return undefined
    }
  },
  async set(key, value) {
    try {
      await request('readwrite', (table) => table.put(value, key))
    } catch {
      // Not kept; see above.
    }
  },
}

function request<T>(mode: IDBTransactionMode, run: (table: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const open = indexedDB.open(DATABASE, 1)
    open.onupgradeneeded = () => open.result.createObjectStore(TABLE)
    open.onerror = () => reject(open.error)
    open.onsuccess = () => {
      const database = open.result
      const query = run(database.transaction(TABLE, mode).objectStore(TABLE))
      query.onsuccess = () => resolve(query.result)
      query.onerror = () => reject(query.error)
      query.transaction!.oncomplete = () => database.close()
    }
  })
}
