/** KaTeX and its style sheet, loaded with the first formula that is shown. */
let loading: Promise<typeof import('katex')> | undefined

function load(): Promise<typeof import('katex')> {
  const both = Promise.all([import('katex'), import('katex/dist/katex.min.css')]).then(([katex]) => katex)
  // A download that failed is tried again with the next formula.
  both.catch(() => (loading = undefined))
  return both
}

/** HTML with MathML inside for screen readers. Throws KaTeX's ParseError on wrong TeX. */
export async function renderTex(tex: string, display: boolean): Promise<string> {
  loading ??= load()
  const katex = await loading
  return katex.default.renderToString(tex, { displayMode: display, output: 'htmlAndMathml' })
}
