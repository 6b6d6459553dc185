"""Checks that no slur is a whole token, and none is in what the models write to the default prompts.

    python3 engine/training/check_words.py
"""

import argparse
import json
import re

from evaluate import load_model
from export import MODELS
from generate import greedy
from tokenizer import Tokenizer, is_slur, load_slur_hashes, whole_word


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names (default: all that are shipped)")
    parser.add_argument("--tokens", type=int, default=256, help="length of each continuation")
    args = parser.parse_args()
    hashes, found = load_slur_hashes(), []
    prompts = json.loads((MODELS / "prompts.json").read_text())
    for folder in sorted(MODELS.glob("tales-*")):
        if args.models and folder.name not in args.models:
            continue
        model, tokenizer = load_model(folder), Tokenizer.load(folder / "tokenizer.json")
        # Token 0 is the end-of-text token, which stands for no bytes.
        found += [f"{folder.name}: token {token}" for token in tokenizer.tokens[1:] if is_slur(whole_word(token), hashes)]
        for prompt in prompts:
            text = prompt["text"] + tokenizer.decode(greedy(model, tokenizer.encode(prompt["text"]), args.tokens)[0])
            words = re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", text) + re.findall(r"[^\W\d_]+", text)
            found += [f"{folder.name}: {prompt['id']}: {word}" for word in words if is_slur(word, hashes)]
    print("\n".join(found) or "none found")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
