/** Keys that a focused control needs for itself. */
const CONTROL_KEYS: readonly string[] = [' ', 'Enter', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', 'Escape']

const CONTROLS = 'button, a[href], input, select, textarea, summary, [contenteditable], [role=slider], [role=listbox], [role=dialog]'

/**
 * Whether the deck may act on this key: not while a control has the focus that uses it itself. Looks
 * through shadow roots, where `document.activeElement` only shows the host.
 */
export function deckMayAct(event: Pick<KeyboardEvent, 'key' | 'composedPath'>): boolean {
  const target = event.composedPath()[0]
  if (!(target instanceof Element)) return true
  const control = target.closest(CONTROLS)
  if (!control) return true
  if (control.matches('select, textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])')) return false
  return !CONTROL_KEYS.includes(event.key)
}

/**
 * After a click or a drag the focus goes back to the deck, or the clicker's next key would go to the
 * control. Fields that are typed into keep it.
 */
export function releaseFocus(): void {
  const active = document.activeElement
  if (active instanceof HTMLElement && active.matches('button, a[href], summary, input[type=range], input[type=checkbox], input[type=radio]')) active.blur()
}
