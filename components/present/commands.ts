/** What a key of the deck does. */
export type Command =
  | 'forward' | 'backward' | 'next' | 'previous' | 'first' | 'last'
  | 'contents' | 'search' | 'jump' | 'speaker' | 'black' | 'freeze' | 'checks' | 'talk' | 'fullscreen' | 'link' | 'read' | 'help'

interface Binding {
  command: Command
  /** As KeyboardEvent.key has them; the first two are shown. */
  keys: readonly string[]
  words: string
}

/** The deck's keys: what the page acts on, and what its help sheet lists. */
export const BINDINGS: readonly { title: string; bindings: readonly Binding[] }[] = [
  {
    title: 'Move',
    bindings: [
      { command: 'next', keys: ['ArrowRight', ' ', 'ArrowDown', 'n'], words: 'next slide' },
      { command: 'previous', keys: ['ArrowLeft', 'p', 'ArrowUp'], words: 'slide before' },
      { command: 'forward', keys: ['PageDown'], words: 'clicker: next stage direction in a talk, else next slide' },
      { command: 'backward', keys: ['PageUp'], words: 'clicker: back' },
      { command: 'first', keys: ['Home'], words: 'first slide' },
      { command: 'last', keys: ['End'], words: 'last slide' },
      { command: 'contents', keys: ['o'], words: 'all slides' },
      { command: 'search', keys: ['/'], words: 'search' },
      { command: 'jump', keys: ['g'], words: 'jump to a number' },
    ],
  },
  {
    title: 'Present',
    bindings: [
      { command: 'speaker', keys: ['s'], words: 'speaker’s window' },
      { command: 'talk', keys: ['t'], words: 'talk on or off: stage directions, screen kept awake' },
      { command: 'checks', keys: ['c'], words: 'checks before the talk' },
      { command: 'black', keys: ['b', '.'], words: 'dark screen' },
      { command: 'freeze', keys: ['z'], words: 'freeze: show recordings, measure nothing' },
      { command: 'fullscreen', keys: ['f'], words: 'full screen' },
    ],
  },
  {
    title: 'Share',
    bindings: [
      { command: 'link', keys: ['l'], words: 'copy a link to this slide as it is set' },
      { command: 'read', keys: ['r'], words: 'read as a page, and back' },
      { command: 'help', keys: ['?'], words: 'this sheet' },
    ],
  },
]

/** Keys that a slide with a replay listens to itself (PlayheadBar). */
export const REPLAY_KEYS: readonly { keys: readonly string[]; words: string }[] = [
  { keys: ['x'], words: 'play and pause' },
  { keys: [',', ';'], words: 'one event back, on' },
  { keys: ['−', '+'], words: 'slower, faster' },
]

const COMMANDS = new Map(BINDINGS.flatMap(({ bindings }) => bindings.flatMap(({ command, keys }) => keys.map((key) => [key, command] as const))))

/** A clicker sends these; they are obeyed wherever the focus is. */
export const isClicker = (command: Command | undefined) => command === 'forward' || command === 'backward'

type Key = Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>

/** What this key asks for; undefined: nothing of the deck's. */
export function commandOf({ key, shiftKey, ctrlKey, metaKey, altKey }: Key): Command | undefined {
  if (ctrlKey || metaKey || altKey) return undefined
  if (key === ' ' && shiftKey) return 'previous'
  return COMMANDS.get(key) ?? COMMANDS.get(key.toLowerCase())
}

/** As it stands on a key's cap. */
export function keyName(key: string): string {
  return { ArrowRight: '→', ArrowLeft: '←', ArrowDown: '↓', ArrowUp: '↑', ' ': 'Space', PageDown: 'Page ↓', PageUp: 'Page ↑' }[key] ?? (/^[a-z]$/.test(key) ? key.toUpperCase() : key)
}
