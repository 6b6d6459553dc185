"""Writes a checkpoint as a Hugging Face model folder: config, tokenizer, f16 weights and a model card.

    python3 engine/training/export.py tales-5m --run FOLDER --tokenizer FOLDER
"""

import argparse
import json
import pathlib

import torch

from corpus import training_stories, validation_text
from evaluate import PROTOCOL, bits_per_byte, load_model
from model import LADDER
from teacher import KEPT, STRIDE, WINDOW
from tokenizer import END_OF_TEXT_ID, Tokenizer
from train import BALANCE, TAUGHT, training_tokens
from weights import write_safetensors

MODELS = pathlib.Path(__file__).parents[2] / "assets/models"
TRAINED_CONTEXT = 1024


def hugging_face_config(config):
    common = {
        "torch_dtype": "float16",
        "vocab_size": config.vocabulary, "hidden_size": config.hidden, "intermediate_size": config.ffn,
        "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads, "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions, "rope_theta": config.theta,
        "rms_norm_eps": config.norm_eps, "hidden_act": "silu", "attention_dropout": 0.0,
        "tie_word_embeddings": True, "initializer_range": 0.02,
        "use_cache": True, "bos_token_id": END_OF_TEXT_ID, "eos_token_id": END_OF_TEXT_ID,
        "trained_context": TRAINED_CONTEXT,
    }
    if config.experts:
        return {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", **common,
                "num_local_experts": config.experts, "num_experts_per_tok": config.active, "sliding_window": None,
                "router_aux_loss_coef": BALANCE, "router_jitter_noise": 0.0, "output_router_logits": False}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **common, "rope_scaling": None,
            "attention_bias": False, "mlp_bias": False, "pretraining_tp": 1}


def words_for(config, parameters, settings):
    """What a card says of the architecture, the size, the shape, and of how the loss differed from plain cross-entropy."""
    heads = (f"{config.layers} layers, hidden {config.hidden}, {config.heads} query heads and {config.kv_heads} key-value heads "
             f"of {config.head_dim}")
    learnt = ""
    if settings.get("teacher", "None") != "None":
        learnt = (f" The loss is {1 - TAUGHT:.0%} cross-entropy with the text and {TAUGHT:.0%} Kullback-Leibler divergence from what "
                  f"tales-5m (its float16 weights) expects: the {KEPT} likeliest next tokens, and all others as one outcome, computed once for "
                  f"every position of the stories with at least {WINDOW - STRIDE} tokens of context.")
    if not config.experts:
        return {"architecture": "Llama (RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied embeddings, no biases)",
                "size": f"{parameters:,}", "shape": f"{heads}, feed-forward {config.ffn}", "learnt": learnt}
    idle = config.layers * (config.experts - config.active) * 3 * config.hidden * config.ffn
    return {"architecture": "Mixtral (Llama with a mixture of experts: a router sends each token to the experts with the best scores and sums their "
                            "outputs, weighted by a softmax over those scores)",
            "size": f"{parameters:,}, of which a token meets {parameters - idle:,}",
            "shape": f"{heads}, {config.experts} experts of feed-forward {config.ffn} in each layer, {config.active} for each token",
            "learnt": f"{learnt} Load-balancing loss (Switch Transformer's) with weight {BALANCE}."}


CARD = """---
language: en
license: mit
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A small language model that writes fairy tales, made to be run live on a slide of Token Expressway.

| | |
|---|---|
| architecture | {architecture} |
| parameters | {size} |
| shape | {shape} |
| tokenizer | byte-level BPE, {config.vocabulary:,} tokens, the same for all models of the family |
| weights | float16 |
| trained context | {trained_context:,} tokens |
| **validation** | **{bpb:.3f} bits per byte** |

## Data

Eighteen books of public-domain fairy tales from Project Gutenberg, about {corpus_megabytes:.1f} MB of plain text: Andersen, the
brothers Grimm, nine of Andrew Lang's coloured fairy books, Celtic, English, Indian and Japanese collections, the
Just So Stories and two books of Oz. Paragraphs with words one would not want on a stage were cut before training.
An end-of-text token stands between stories.

## Training

{tokens_millions:.1f} million tokens ({epochs:.1f} passes over the data) in {steps:,} steps of {batch:,} tokens, {minutes:.0f} minutes on
{cores} in float32. Windows of 512 tokens, of 1,024 in the last tenth of the schedule. Muon for the matrices of the layers (peak
learning rate {lr}, momentum 0.95, weight decay {weight_decay}), AdamW for {rest} (peak {adam_lr}, betas 0.9 and
0.95), linear warm-up over 3 % of the training, a cosine to a quarter of the peak, and with the long windows a line to
zero; gradient norm clipped at {clip}; dropout {dropout}.{learnt} {remark}

## Validation

Measured on the float16 weights shipped here, computed in float32, on a book that was not trained on (Andrew Lang's *The
Lilac Fairy Book*, {validation_bytes:,} bytes, {validation_tokens:,} tokens). {protocol}

## Limits

- It knows fairy tales in the English of a century ago and nothing else. It states no facts, follows no instructions and
  loses its thread after a few sentences.
- The tales carry the views of their time. Prompts shown by default are curated and decoded greedily; other prompts
  or sampling may give text that was not looked at.
- It was trained on ASCII text. Other characters can be encoded, but mean nothing to it.
- `max_position_embeddings` is {config.max_positions:,}, but it was trained up to {trained_context:,} tokens. Beyond that it runs, for
  timing only: the text it gives there is not meant to be read.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=LADDER)
    parser.add_argument("--run", required=True, type=pathlib.Path, help="folder with checkpoint.pt")
    parser.add_argument("--tokenizer", required=True, type=pathlib.Path, help="folder with tokenizer.json")
    parser.add_argument("--corpus", default="../shared/corpus", type=pathlib.Path)
    parser.add_argument("--remark", default="", help="sentence for the card, where settings changed on the way")
    args = parser.parse_args()
    folder, config = MODELS / args.model, LADDER[args.model]
    saved = torch.load(args.run / "checkpoint.pt", map_location="cpu")
    tokenizer = Tokenizer.load(args.tokenizer / "tokenizer.json")
    tokenizer.save(folder)
    write_safetensors(folder / "model.safetensors", saved["model"],
                      {"format": "pt", "trained_context": str(TRAINED_CONTEXT)})
    generation = {"bos_token_id": END_OF_TEXT_ID, "eos_token_id": END_OF_TEXT_ID, "do_sample": False}
    for name, data in (("config.json", hugging_face_config(config)), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(data, indent=2) + "\n")

    text = validation_text(args.corpus)
    bpb = bits_per_byte(load_model(folder), tokenizer, text)
    trained_bytes = sum(len(story) for stories in training_stories(args.corpus).values() for story in stories)
    count, settings = saved["count"], saved["settings"]
    (folder / "README.md").write_text(CARD.format(
        name=args.model, config=config, **words_for(config, sum(t.numel() for t in saved["model"].values()), settings),
        cores="two shared CPU cores" if settings["processes"] == "2" else "a share of one CPU core",
        rest="embedding, norms and router" if config.experts else "embedding and norms",
        trained_context=TRAINED_CONTEXT, bpb=bpb, protocol=PROTOCOL, validation_bytes=len(text.encode()),
        validation_tokens=len(tokenizer.encode(text)), tokens_millions=count["tokens"] / 1e6,
        epochs=count["tokens"] / len(training_tokens(args.corpus, tokenizer)), corpus_megabytes=trained_bytes / 1e6,
        steps=count["steps"], minutes=count["seconds"] / 60, batch=int(settings["batch"]), lr=settings["lr"],
        adam_lr=settings["adam_lr"], weight_decay=settings["weight_decay"], clip=settings["clip"],
        dropout=settings["dropout"], remark=args.remark))
    print(json.dumps({"model": args.model, "bits_per_byte": round(bpb, 4), "tokens": count["tokens"]}))


if __name__ == "__main__":
    main()
