import { Template } from '@huggingface/jinja'
import { ApiError, type ChatMessage } from './openai'

/**
 * Writes a conversation as the model reads it: by the chat template of tokenizer_config.json where there is one.
 * A model without one was not taught turns: it is given the messages' texts, a blank line between two.
 */
export function chatRenderer(tokenizerConfig: Record<string, unknown>): (messages: readonly ChatMessage[]) => string {
  const source = templateOf(tokenizerConfig['chat_template'])
  if (source === undefined) return (messages) => messages.map((m) => m.content).join('\n\n')
  const template = new Template(source)
  const token = (key: string) => {
    const value = tokenizerConfig[key]
    return typeof value === 'string' ? value : (value as { content?: string } | undefined)?.content
  }
  return (messages) => {
    try {
      return template.render({ messages, add_generation_prompt: true, bos_token: token('bos_token'), eos_token: token('eos_token') })
    } catch (cause) {
      // Templates refuse conversations of the wrong shape in their own words.
      throw new ApiError(400, `The model's chat template refuses these messages: ${(cause as Error).message}`, 'messages')
    }
  }
}

/** A text, or a list of named ones of which "default" is meant. */
function templateOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return undefined
  const named = value as { name?: string; template?: string }[]
  return (named.find((t) => t.name === 'default') ?? named[0])?.template
}
