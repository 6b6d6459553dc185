import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { ModelError, type ModelConfig } from './config'

/** Text ↔ token ids, by a Hugging Face tokenizer.json. */
export class Tokenizer {
  private readonly bytesOf: (id: number) => Uint8Array
  readonly endOfText: number
  /** Ids are below this: the rows that the model has. */
  readonly vocabSize: number

  /**
   * `json` is tokenizer.json, `config` tokenizer_config.json. Throws ModelError when the file is no
   * tokenizer, or when it has ids that the model has no row for.
   */
  constructor(json: object, config: object, model: Pick<ModelConfig, 'vocabSize' | 'eos'>, file = 'tokenizer.json') {
    const vocab = (json as { model?: { vocab?: Record<string, number> } }).model?.vocab
    if (!vocab || typeof vocab !== 'object') throw new ModelError(`${file}: no model.vocab; only BPE tokenizers are supported`)
    const added = ((json as { added_tokens?: { id: number; content: string }[] }).added_tokens ?? [])
    const largest = Math.max(...Object.values(vocab), ...added.map((t) => t.id))
    if (!(largest < model.vocabSize)) throw new ModelError(`${file}: token id ${largest} does not fit the model's vocabulary of ${model.vocabSize}; tokenizer and model do not belong together`)
    try {
      this.inner = new HuggingFaceTokenizer(json, config)
    } catch (cause) {
      throw new ModelError(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause })
    }
    const texts: string[] = []
    for (const [text, id] of Object.entries(vocab)) texts[id] = text
    const special = new Map(added.map((t) => [t.id, t.content]))
    this.bytesOf = (id) => {
      const content = special.get(id)
      return content !== undefined ? new TextEncoder().encode(content) : byteLevel(texts[id] ?? '')
    }
    this.endOfText = model.eos[0] ?? -1
    this.vocabSize = model.vocabSize
  }

  private readonly inner: HuggingFaceTokenizer

  /** Ids of a text, without added special tokens. */
  encode(text: string): number[] {
    return Array.from(this.inner.encode(text, { add_special_tokens: false }).ids)
  }

  decode(ids: readonly number[]): string {
    const stream = this.stream()
    return ids.map((id) => stream.push(id)).join('') + stream.end()
  }

  /**
   * Texts of tokens as they come. A character that is spread over several tokens appears with the
   * last of them; the earlier ones read as ''.
   */
  stream(): { push(id: number): string; end(): string } {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (id) => decoder.decode(this.bytesOf(id), { stream: true }),
      end: () => decoder.decode(),
    }
  }
}

/** GPT-2's reversible alphabet: printable bytes stand for themselves, the others for code points from 256 on. */
const byteOfChar = (() => {
  const map = new Map<string, number>()
  let next = 256
  for (let b = 0; b < 256; b++) {
    const printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
    map.set(String.fromCodePoint(printable ? b : next++), b)
  }
  return map
})()

function byteLevel(text: string): Uint8Array {
  return Uint8Array.from(Array.from(text, (ch) => byteOfChar.get(ch) ?? 63))
}
