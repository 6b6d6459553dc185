"""Writes what PyTorch computes with the exported models, for the tests of the other runners.

    python3 engine/training/dump.py

All from the f16 weights upcast to f32, computed in f32 and checked against f64. See README.md for the formats.
"""

import argparse
import base64
import json
import math
import pathlib

import torch

from evaluate import load_model, negative_log_likelihood
from export import MODELS
from fixture_texts import LOGIT_PROMPTS, PASSAGES, PROMPTS, tokenizer_strings
from generate import greedy
from tokenizer import END_OF_TEXT_ID, Tokenizer

FIXTURES = pathlib.Path(__file__).parents[2] / "tests/fixtures/models"
NEW_TOKENS = 64
SAFE_MARGIN = 2e-3  # twice the tolerance that a runner's logits have, so its greedy choice cannot differ
SAFE_ROUTING_MARGIN = 1e-4  # of the router's scores, whose noise is a tenth of it: no other expert can be chosen
NOISE = 1e-4  # largest difference between f32 and f64 logits; a tenth of that tolerance


def encode_floats(tensor):
    """Little-endian f32, row-major, in base64."""
    return base64.b64encode(tensor.detach().numpy().astype("<f4").tobytes()).decode()


def greedy_entry(model, tokenizer, prompt):
    ids = tokenizer.encode(prompt)
    tokens, margin, routing_margin = greedy(model, ids, NEW_TOKENS)
    entry = {"prompt": prompt, "prompt_ids": ids, "tokens": tokens, "min_margin": round(margin, 6)}
    return entry, margin >= SAFE_MARGIN and routing_margin >= SAFE_ROUTING_MARGIN


@torch.no_grad()
def logits_entry(model, exact, tokenizer, prompt, with_layers):
    """exact: the same model in f64, to measure the noise of f32."""
    ids = torch.tensor([tokenizer.encode(prompt)])
    states = model.hidden_states(ids)
    logits = model(ids)[0, -1]
    noise = float((exact(ids)[0, -1] - logits).abs().max())
    if noise > NOISE:
        raise SystemExit(f"f32 and f64 logits differ by {noise:.2g}")
    entry = {"prompt_ids": ids[0].tolist(), "logits": encode_floats(logits), "hidden": encode_floats(states[-1][0, -1])}
    if with_layers:
        entry["layers"] = [encode_floats(state[0]) for state in states[1:-1]]
    return entry, noise


def score_entry(model, tokenizer, text):
    ids = [END_OF_TEXT_ID, *tokenizer.encode(text)]
    nats = negative_log_likelihood(model, ids).double()
    return {"tokens": len(nats), "nll_per_token": float(nats.mean()),
            "bits_per_byte": float(nats.sum()) / math.log(2) / len(text.encode())}


def read(name):
    return json.loads((FIXTURES / name).read_text())


def write(name, data):
    (FIXTURES / name).write_text(json.dumps(data, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="compute these anew and keep what is there of the others (default: all)")
    args = parser.parse_args()
    folders = sorted(MODELS.glob("tales-*"), key=lambda folder: (folder / "model.safetensors").stat().st_size)
    generations, logits = (read(name) if args.models else {} for name in ("greedy.json", "logits.json"))
    scores = {name: {"text": text, "bytes": len(text.encode()), "models": {}} for name, text in PASSAGES.items()}
    for name, entry in (read("score.json") if args.models else {}).items():
        scores[name]["models"] = entry["models"]
    for folder in folders:
        if args.models and folder.name not in args.models:
            continue
        model, exact = load_model(folder), load_model(folder, torch.float64)
        tokenizer = Tokenizer.load(folder / "tokenizer.json")
        entries = [greedy_entry(model, tokenizer, prompt) for prompt in PROMPTS]
        generations[folder.name] = [entry for entry, safe in entries if safe]
        dumped = [logits_entry(model, exact, tokenizer, prompt, folder == folders[0] and prompt == LOGIT_PROMPTS[0])
                  for prompt in LOGIT_PROMPTS]
        logits[folder.name] = [entry for entry, _ in dumped]
        for name, text in PASSAGES.items():
            scores[name]["models"][folder.name] = score_entry(model, tokenizer, text)
        print(folder.name, f"{len(generations[folder.name])} of {len(PROMPTS)} prompts kept,",
              f"f32 noise {max(noise for _, noise in dumped):.1e}")
    write("greedy.json", generations)
    write("logits.json", logits)
    write("score.json", scores)
    write("tokenizer.json", [{"text": text, "ids": tokenizer.encode(text)} for text in tokenizer_strings()])


if __name__ == "__main__":
    main()
