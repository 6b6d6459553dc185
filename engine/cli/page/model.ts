import type { ReadFile } from '../../model/load'

/** Reads a model that the server beside this page offers by name (page-server.ts). */
export function servedModel(name: string): ReadFile {
  return async (file) => {
    const response = await fetch(`./model/${encodeURIComponent(name)}/${encodeURIComponent(file)}`)
    if (!response.ok) throw new Error(response.status === 404 ? 'there is no such file' : `the server answered ${response.status}`)
    return response.arrayBuffer()
  }
}
