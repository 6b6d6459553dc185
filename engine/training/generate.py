"""Greedy generation, to read what an exported model writes.

    python3 engine/training/generate.py assets/models/tales-5m "Once upon a time" --tokens 64
    python3 engine/training/generate.py assets/models/tales-5m          # all prompts of assets/models/prompts.json
"""

import argparse
import json
import pathlib

import torch

from evaluate import load_model
from tokenizer import END_OF_TEXT_ID, Tokenizer


@torch.no_grad()
def greedy(model, prompt_ids, count):
    """Up to `count` new ids, fewer if the story ends, and the smallest gaps on the way: between the two best logits, and
    between the scores of experts that a token just went to and just did not (infinite if dense).

    An end-of-text token is the last id where it comes. The whole text is computed anew for every token:
    slow, but nothing can go wrong with a cache.
    """
    ids, margin, routing_margin = list(prompt_ids), float("inf"), float("inf")
    while len(ids) < len(prompt_ids) + count:
        best = model(torch.tensor([ids]))[0, -1].topk(2)
        margin = min(margin, float(best.values[0] - best.values[1]))
        routing_margin = min(routing_margin, model.routing_margin())
        ids.append(int(best.indices[0]))
        if ids[-1] == END_OF_TEXT_ID:
            break
    return ids[len(prompt_ids):], margin, routing_margin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="exported model folder")
    parser.add_argument("prompt", nargs="?")
    parser.add_argument("--tokens", type=int, default=64)
    args = parser.parse_args()
    model, tokenizer = load_model(args.model), Tokenizer.load(args.model / "tokenizer.json")
    shown = json.loads((args.model.parent / "prompts.json").read_text()) if args.prompt is None else [{"text": args.prompt}]
    for prompt in shown:
        tokens, margin, _ = greedy(model, tokenizer.encode(prompt["text"]), args.tokens)
        print(f"{prompt['text']}|{tokenizer.decode(tokens)}  [{len(tokens)} tokens, margin {margin:.4f}]\n")


if __name__ == "__main__":
    main()
