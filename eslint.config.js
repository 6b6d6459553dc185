import js from '@eslint/js'
import svelte from 'eslint-plugin-svelte'
import globals from 'globals'
import ts from 'typescript-eslint'

const PAGE_SIDE = 'the engine knows no page: it runs in a worker, in Node and in tests alike'
const OUTER_LAYERS = '(\\$|(\\.\\./)+)(components|slides|theme)(/|$)'

/**
 * The walls of the house (CONTRIBUTING.md, "Layout"): slides → components → engine/worker and
 * engine/trace, never backwards. Types may be looked at through a wall that values may not pass.
 *
 * @param {string[]} files
 * @param {{ regex: string, message: string, allowTypeImports?: boolean }[]} patterns
 * @param {string[]} [ignores]
 */
function wall(files, patterns, ignores = []) {
  return { files, ignores, rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] } }
}

const noPage = [
  { regex: OUTER_LAYERS, message: PAGE_SIDE },
  { regex: '^svelte(/|$)|\\.svelte(\\.ts)?$', message: PAGE_SIDE },
]

const engineDoors = {
  regex: '^(\\$engine|(\\.\\./)+engine)/(?!trace(/|$)|worker(/|$)|model/random$|cost/(hardware|models|roofline)$|measure/claims(/|$)|speculate/gain$)',
  message: 'pages reach the engine through engine/worker and read engine/trace, the catalogues and their roofline, the claims ledger, what speculation gains and the random numbers; of the rest they may import types only',
  allowTypeImports: true,
}

export default ts.config(
  {
    ignores: ['**/node_modules/', 'dist/', '.cache/', 'engine/runner/wasm/assembly/', 'engine/runner/wasm/build/', 'tests/e2e/results/'],
  },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  {
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      // The type check knows all names; this rule does not know types.
      'no-undef': 'off',
      'no-console': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx', 'hack'] }],
      'prefer-const': ['error', { destructuring: 'all' }],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: 'numbers that nobody can reproduce: use uniform() of engine/runner/sampling' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }],
      // Lengths are checked where they matter; an index inside a loop over that length is not undefined.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
    },
  },
  {
    files: ['**/*.ts'],
    ignores: ['**/*.svelte.ts'],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
    },
  },
  {
    files: ['**/*.svelte', '**/*.svelte.ts'],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: ['.svelte'] } },
    rules: {
      // Its Svelte form knows that $props, $state and $derived are declared with let.
      'prefer-const': 'off',
      // A narrow space cannot be typed visibly into markup; written as an escape it can be read.
      'svelte/no-useless-mustaches': ['error', { ignoreStringEscape: true }],
      // Not every Map is drawn.
      'svelte/prefer-svelte-reactivity': 'off',
      'svelte/prefer-const': ['error', { destructuring: 'all', excludedRunes: ['$props', '$state', '$derived'] }],
    },
  },

  wall(['engine/**/*.ts'], [
    ...noPage,
    { regex: '^(\\$engine/|(\\.\\./)+)(cli|worker)(/|$)', message: 'cli and worker are the engine\'s outside: what they use must not use them' },
  ], ['engine/cli/**', 'engine/worker/**', 'engine/trace/**']),
  wall(['engine/cli/**/*.ts', 'engine/worker/**/*.ts'], noPage),
  wall(['engine/trace/**/*.ts'], [{ regex: '^(?!\\./)', message: 'engine/trace says what happened and imports nothing but itself' }]),
  wall(['components/**/*.{ts,svelte}'], [
    { regex: '(^\\$|(\\.\\./)+)slides(/|$)', message: 'components do not know which slide they are on' },
    engineDoors,
  ]),
  wall(['slides/**/*.{ts,svelte}'], [engineDoors]),
  {
    files: ['engine/**/*.ts'],
    ignores: ['engine/cli/page/**'],
    rules: {
      'no-restricted-globals': ['error', ...['document', 'window', 'localStorage', 'requestAnimationFrame', 'location']
        .map((name) => ({ name, message: PAGE_SIDE }))],
    },
  },
)
