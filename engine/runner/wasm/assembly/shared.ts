export { argmax } from './argmax'
export { execute } from './execute'
export { help, lead } from './team'
