import fc from 'fast-check'

// On a build machine a change is judged by what it changed: the same cases every time. Elsewhere each
// run draws new ones, and a failure prints the seed that repeats it.
if (process.env['CI']) fc.configureGlobal({ seed: 20_26 })
