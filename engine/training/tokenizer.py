"""Byte-level BPE, as GPT-2 does it: training, encoding, decoding and the Hugging Face file format.

    python3 engine/training/tokenizer.py --corpus ../shared/corpus --out FOLDER

Text is cut into pre-tokens by GPT-2's regular expression, each pre-token becomes its UTF-8 bytes,
and the bytes are joined by the learned merges. Every byte is in the vocabulary, so every text encodes.
"""

import argparse
import collections
import hashlib
import heapq
import json
import pathlib
import re
import sys
import unicodedata

from corpus import training_stories

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
SLUR_HASHES = pathlib.Path(__file__).parents[2] / "tests/fixtures/models/slur-hashes.json"


def _character_class(major_category):
    """The inside of a regex class with every character of one Unicode major category.

    Python's own `re` has no \\p{L}; its \\w also holds digits and the underscore.
    """
    ranges, start = [], None
    for code in range(sys.maxunicode + 2):
        inside = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == major_category
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            ranges.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(ranges)


# Unicode's White_Space property; Python's \s also takes the separators U+001C..U+001F.
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_L, _N = _character_class("L"), _character_class("N")
_PRE_TOKEN = re.compile(
    rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{_L}]+| ?[{_N}]+| ?[^{_SPACE}{_L}{_N}]+|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
)


def _byte_alphabet():
    """byte -> printable character, GPT-2's mapping, so that tokens are legible in JSON."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet, spare = {}, 0
    for byte in range(256):
        if byte in printable:
            alphabet[byte] = chr(byte)
        else:
            alphabet[byte] = chr(256 + spare)
            spare += 1
    return alphabet


_BYTE_TO_CHAR = _byte_alphabet()
_CHAR_TO_BYTE = {char: byte for byte, char in _BYTE_TO_CHAR.items()}


def _printable(pre_token):
    return tuple(_BYTE_TO_CHAR[byte] for byte in pre_token.encode("utf-8"))


def token_bytes(token):
    """The bytes that a token (in its printable form) stands for."""
    return bytes(_CHAR_TO_BYTE[char] for char in token)


def whole_word(token):
    """A token's text as a bare lower-case word, the form in which slurs are hashed."""
    return token_bytes(token).decode("utf-8", "replace").strip().lower()


def load_slur_hashes():
    """SHA-256 hashes (hex) of the lower-case words that must be no whole token and in no shown text."""
    return set(json.loads(SLUR_HASHES.read_text())["sha256"])


def is_slur(word, hashes):
    return hashlib.sha256(word.lower().encode()).hexdigest() in hashes


def train_merges(texts, count, banned):
    """Learns `count` merges, most frequent pair first; ties go to the pair that sorts first.

    texts: iterable of str. banned: word -> bool, true for a whole word that must not become a token.
    Returns [(left, right), …] in printable form.
    """
    frequency = collections.Counter()
    for text in texts:
        frequency.update(_PRE_TOKEN.findall(text))
    words = [list(_printable(pre_token)) for pre_token in frequency]
    weights = list(frequency.values())

    pair_count = collections.Counter()
    found_in = collections.defaultdict(set)
    for index, word in enumerate(words):
        for pair in zip(word, word[1:]):
            pair_count[pair] += weights[index]
            found_in[pair].add(index)

    # A heap with stale entries: an entry counts only if it still states the pair's current count.
    heap = [(-n, pair) for pair, n in pair_count.items()]
    heapq.heapify(heap)
    merges = []
    while heap and len(merges) < count:
        negative, pair = heapq.heappop(heap)
        if pair_count[pair] != -negative or banned(whole_word("".join(pair))):
            continue
        merges.append(pair)
        changed = set()
        for index in found_in.pop(pair):
            word, weight = words[index], weights[index]
            for old in zip(word, word[1:]):
                pair_count[old] -= weight
                changed.add(old)
            words[index] = word = _merge(word, pair)
            for new in zip(word, word[1:]):
                pair_count[new] += weight
                found_in[new].add(index)
                changed.add(new)
        for touched in changed:
            if touched != pair and pair_count[touched] > 0:
                heapq.heappush(heap, (-pair_count[touched], touched))
    return merges


def _merge(word, pair):
    """Joins every occurrence of `pair` in a list of tokens, left to right."""
    merged, i = [], 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            merged.append(word[i] + word[i + 1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return merged


class Tokenizer:
    """Encodes and decodes with a vocabulary that is fixed by its merges."""

    def __init__(self, merges):
        self.merges = merges
        tokens = [END_OF_TEXT, *(_BYTE_TO_CHAR[byte] for byte in range(256))]
        tokens += [left + right for left, right in merges]
        self.vocab = {token: i for i, token in enumerate(tokens)}
        self.tokens = tokens
        self._rank = {pair: i for i, pair in enumerate(merges)}
        self._cache = {}

    @classmethod
    def load(cls, path):
        """Reads a tokenizer.json that `save` wrote."""
        data = json.loads(pathlib.Path(path).read_text())
        return cls([tuple(merge.split(" ")) for merge in data["model"]["merges"]])

    def encode(self, text):
        """text -> ids. The literal `<|endoftext|>` becomes the special token, as in Hugging Face's."""
        ids = []
        for part_number, part in enumerate(text.split(END_OF_TEXT)):
            if part_number:
                ids.append(END_OF_TEXT_ID)
            for pre_token in _PRE_TOKEN.findall(part):
                ids.extend(self._encode_pre_token(pre_token))
        return ids

    def _encode_pre_token(self, pre_token):
        if pre_token not in self._cache:
            word = list(_printable(pre_token))
            while len(word) > 1:
                pair = min(zip(word, word[1:]), key=lambda p: self._rank.get(p, len(self._rank)))
                if pair not in self._rank:
                    break
                word = _merge(word, pair)
            self._cache[pre_token] = [self.vocab[token] for token in word]
        return self._cache[pre_token]

    def decode(self, ids):
        """ids -> text, without special tokens; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(token_bytes(self.tokens[i]) for i in ids if i != END_OF_TEXT_ID)
        return data.decode("utf-8", "replace")

    def save(self, folder):
        """Writes tokenizer.json and tokenizer_config.json as Hugging Face lays them out."""
        special = {"id": END_OF_TEXT_ID, "content": END_OF_TEXT, "single_word": False, "lstrip": False,
                   "rstrip": False, "normalized": False, "special": True}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        tokenizer = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special], "normalizer": None,
            "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": self.vocab, "merges": [" ".join(pair) for pair in self.merges]},
        }
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 8192, "add_prefix_space": False,
            "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "unk_token": None, "pad_token": None,
            "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {str(END_OF_TEXT_ID): {k: v for k, v in special.items() if k != "id"}},
        }
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
            (folder / name).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="../shared/corpus", type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for tokenizer.json")
    parser.add_argument("--vocabulary", default=2048, type=int)
    args = parser.parse_args()
    hashes = load_slur_hashes()
    texts = [story for stories in training_stories(args.corpus).values() for story in stories]
    merges = train_merges(texts, args.vocabulary - 257, lambda word: is_slur(word, hashes))
    Tokenizer(merges).save(args.out)


if __name__ == "__main__":
    main()
