"""What a teacher thinks comes next, once for every token of the training text; train.py --teacher learns from it.

    python3 engine/training/teacher.py assets/models/tales-5m --out FOLDER

Writes FOLDER/tokens.npy (N, 64) uint16, the 64 likeliest next tokens after each position of the training stream, and
FOLDER/log_probabilities.npy (N, 64) float16, their log-probabilities in nats. Windows of 1,024 advance by 896, so all
positions but the first have at least 128 tokens of context. Run again to go on where it was stopped.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
import torch

from evaluate import load_model
from tokenizer import Tokenizer
from train import training_tokens

WINDOW, STRIDE, KEPT = 1024, 896, 64


def part(rank, world, args):
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    stream = training_tokens(args.corpus, Tokenizer.load(args.model / "tokenizer.json"))
    model = load_model(args.model)
    tokens = numpy.load(args.out / "tokens.npy", mmap_mode="r+")
    values = numpy.load(args.out / "log_probabilities.npy", mmap_mode="r+")
    starts = range(0, len(stream) - 1, STRIDE)[rank::world]
    began = time.time()
    with torch.no_grad():
        for number, start in enumerate(starts):
            end = min(start + WINDOW, len(stream) - 1)
            first = 0 if start == 0 else WINDOW - STRIDE
            if start + first >= end or values[end - 1, 0] != 0:  # counted already
                continue
            logits = model(stream[None, start:end])[0, first:]
            best = (logits - logits.logsumexp(-1, keepdim=True)).topk(KEPT)
            tokens[start + first : end] = best.indices.numpy()
            values[start + first : end] = best.values.numpy()
            if number % 100 == 99:
                print(f"process {rank}: {number + 1} of {len(starts)} windows, {time.time() - began:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="exported model folder")
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--corpus", default="../shared/corpus", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    positions = len(training_tokens(args.corpus, Tokenizer.load(args.model / "tokenizer.json"))) - 1
    for name, kind in (("tokens", numpy.uint16), ("log_probabilities", numpy.float16)):
        if not (args.out / f"{name}.npy").exists():
            numpy.lib.format.open_memmap(args.out / f"{name}.npy", "w+", kind, (positions, KEPT)).flush()
    torch.multiprocessing.spawn(part, (args.processes, args), args.processes)


if __name__ == "__main__":
    main()
