export { argmax } from './argmax'
export { execute } from './execute'
