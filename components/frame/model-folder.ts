import type { ModelFolder } from '$engine/worker/protocol'

/** A file and where it lay in what was dropped or chosen: "Qwen2.5-0.5B/config.json". */
export interface Placed {
  path: string
  file: File
}

/** Folders within folders that are looked into, and files that are listed at most: a dropped home folder is no model. */
const DEPTH = 2
const MOST = 2000

/** All files that were dropped, those in folders with their path. Throws when there are too many to be a model. */
export async function droppedFiles(items: DataTransferItemList): Promise<Placed[]> {
  // To be asked for before the first await: the list is emptied when the event is over.
  const entries = Array.from(items, (item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter((entry) => entry !== null)
  const placed: Placed[] = []
  const walk = async (entry: FileSystemEntry, depth: number): Promise<void> => {
    if (placed.length >= MOST) throw new Error(`More than ${MOST} files were dropped: drop the model's own folder.`)
    if (entry.isFile) placed.push({ path: entry.fullPath.replace(/^\//, ''), file: await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)) })
    else if (depth <= DEPTH) for (const inner of await entriesOf(entry as FileSystemDirectoryEntry)) await walk(inner, depth + 1)
  }
  for (const entry of entries) {
    if (entry instanceof File) placed.push({ path: entry.name, file: entry })
    else await walk(entry, 0)
  }
  return placed
}

/** A directory is listed a hundred entries at a time. */
async function entriesOf(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = directory.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return all
    all.push(...some)
  }
}

/** What the folder chooser gave. */
export function chosenFiles(files: FileList): Placed[] {
  return Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file }))
}

/**
 * The model folder among the files: where config.json lies, the outermost of several. Throws in words
 * when there is none, or when it holds weights in a form that is not read here.
 */
export function modelFolder(placed: readonly Placed[]): ModelFolder {
  const split = placed.map(({ path, file }) => ({ folder: path.split('/').slice(0, -1), name: path.split('/').at(-1)!, file }))
  const [config] = split.filter((f) => f.name === 'config.json').sort((a, b) => a.folder.length - b.folder.length)
  if (!config) {
    const gguf = split.some((f) => f.name.endsWith('.gguf'))
    throw new Error(`There is no config.json in what was dropped${gguf ? ', and GGUF files are not read' : ''}: drop the folder of a Hugging Face model (config.json, tokenizer.json, *.safetensors).`)
  }
  const files = split.filter((f) => f.folder.join('/') === config.folder.join('/')).map(({ name, file }) => ({ name, file }))
  if (!files.some((f) => f.name.endsWith('.safetensors'))) {
    const other = files.find((f) => /\.(bin|pt|pth|gguf|h5|onnx)$/.test(f.name))
    throw new Error(`${nameOf(config.folder)} has no *.safetensors${other ? `; ${other.name} is not read here` : ''}: save the model in safetensors form.`)
  }
  return { name: nameOf(config.folder), files }
}

function nameOf(folder: readonly string[]): string {
  return folder.at(-1) ?? 'model'
}
