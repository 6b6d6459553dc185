"""Bits per byte of an exported model on the validation book.

    python3 engine/training/evaluate.py assets/models/tales-5m
"""

import argparse
import json
import math
import pathlib

import torch
import torch.nn.functional as F

from corpus import validation_text
from model import Config, Llama
from tokenizer import END_OF_TEXT_ID, Tokenizer
from weights import read_safetensors

WINDOW, STRIDE = 1024, 512
PROTOCOL = (
    f"The book is encoded as one text and one end-of-text token is put before it as context. Windows of {WINDOW:,} "
    f"input tokens advance by {STRIDE} tokens; each window counts only the tokens that no earlier one has counted, so "
    f"every token but those of the first window has at least {STRIDE} tokens of context. Every token of the text is "
    "counted once, its first token included; the leading end-of-text token is not. Bits per byte = negative "
    "log-likelihood of all tokens in bits / bytes of the text (UTF-8)."
)


def load_model(folder, dtype=torch.float32):
    """An exported model, its f16 weights upcast to `dtype`, ready to evaluate."""
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    model = Llama(Config(hidden=config["hidden_size"], layers=config["num_hidden_layers"],
                         heads=config["num_attention_heads"], kv_heads=config["num_key_value_heads"],
                         ffn=config["intermediate_size"], experts=config.get("num_local_experts", 0),
                         active=config.get("num_experts_per_tok", 0), vocabulary=config["vocab_size"],
                         max_positions=config["max_position_embeddings"], theta=config["rope_theta"],
                         norm_eps=config["rms_norm_eps"]))
    model.load_state_dict(read_safetensors(folder / "model.safetensors"))
    return model.to(dtype).eval()


@torch.no_grad()
def negative_log_likelihood(model, ids):
    """Nats of each of ids[1:], given those before it in one window. ids: list of n + 1 -> tensor (n,)."""
    ids = torch.tensor(ids)
    return F.cross_entropy(model(ids[None, :-1])[0], ids[1:], reduction="none")


def bits_per_byte(model, tokenizer, text):
    """See PROTOCOL."""
    ids = [END_OF_TEXT_ID, *tokenizer.encode(text)]
    nats, counted = 0.0, 0  # counted: tokens of the text that are in `nats`
    for start in range(0, len(ids) - 1, STRIDE):
        window = ids[start : start + WINDOW + 1]
        new = start + len(window) - 1 - counted
        nats += float(negative_log_likelihood(model, window)[-new:].double().sum())
        counted += new
        if counted == len(ids) - 1:
            break
    return nats / math.log(2) / len(text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, nargs="+", help="exported model folders")
    parser.add_argument("--corpus", default="../shared/corpus", type=pathlib.Path)
    args = parser.parse_args()
    text = validation_text(args.corpus)
    for folder in args.model:
        value = bits_per_byte(load_model(folder), Tokenizer.load(folder / "tokenizer.json"), text)
        print(json.dumps({"model": folder.name, "bits_per_byte": round(value, 4)}))


if __name__ == "__main__":
    main()
