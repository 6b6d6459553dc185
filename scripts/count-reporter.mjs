import { writeFileSync } from 'node:fs'

/**
 * Vitest reporter that leaves its counts in the file EXPRESSWAY_COUNTS names, for scripts/test.mjs: JSON
 * { passed, failed, skipped: [{ name, note }], reasons }. A file that could not be loaded and an error
 * outside any test count as failures. `reasons`: what tests said on the console in lines that begin
 * with "SKIPPED:".
 */
export default class CountReporter {
  /** @type {Set<string>} */
  reasons = new Set()

  /** @param {import('vitest').UserConsoleLog} log */
  onUserConsoleLog(log) {
    for (const [, reason] of log.content.matchAll(/^SKIPPED: (.+)$/gm)) this.reasons.add(/** @type {string} */ (reason))
  }

  /**
   * @param {ReadonlyArray<import('vitest/node').TestModule>} modules
   * @param {ReadonlyArray<unknown>} unhandled
   */
  onTestRunEnd(modules, unhandled) {
    const file = process.env['EXPRESSWAY_COUNTS']
    if (!file) return
    let passed = 0
    let failed = unhandled.length
    /** @type {{ name: string, note: string }[]} */
    const skipped = []
    for (const module of modules) {
      failed += module.errors().length
      for (const suite of module.children.allSuites()) failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const result = test.result()
        if (result.state === 'passed') passed++
        else if (result.state === 'failed') failed++
        else skipped.push({ name: `${module.relativeModuleId}: ${test.fullName}`, note: ('note' in result && result.note) || '' })
      }
    }
    writeFileSync(file, JSON.stringify({ passed, failed, skipped, reasons: [...this.reasons] }))
  }
}
