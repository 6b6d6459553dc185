import { SvelteSet } from 'svelte/reactivity'

const KEY = 'expressway:read'

/**
 * Slides that were read, kept in this browser alone; where storage is denied, until the page is closed.
 */
class Progress {
  private readonly ids = new SvelteSet<string>(stored())

  has(id: string): boolean {
    return this.ids.has(id)
  }

  get count(): number {
    return this.ids.size
  }

  add(id: string): void {
    if (this.ids.has(id)) return
    this.ids.add(id)
    keep([...this.ids])
  }

  clear(): void {
    this.ids.clear()
    keep([])
  }
}

function stored(): string[] {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]')
    return Array.isArray(list) ? list.filter((id): id is string => typeof id === 'string') : []
  } catch {
    return []
  }
}

function keep(ids: readonly string[]): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(ids))
  } catch {
    // See above.
  }
}

let progress: Progress | undefined

export function useProgress(): Progress {
  return (progress ??= new Progress())
}
