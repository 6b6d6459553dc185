"""Trains one model of the ladder; run again with the same --out to resume.

    python3 engine/training/train.py tales-5m --tokenizer FOLDER --out FOLDER --tokens 10e6

On a CPU it runs one process a core, each on its own share of the batch: at this size that beats
threads inside each product. On CUDA it is one process and bfloat16.

With --teacher it learns from what a larger model thinks comes next (teacher.py) as well as from the text.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import time

# Each process computes on one core; OpenBLAS reads this when it is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
import torch
import torch.distributed as distributed
import torch.nn.functional as F

from corpus import training_stories, validation_text
from model import LADDER, Llama
from muon import Muon
from tokenizer import END_OF_TEXT_ID, Tokenizer

SHORT, LONG, LONG_FROM = 512, 1024, 0.9  # tokens, tokens, share of the training after which windows are long
WARM_UP = 0.03  # share of the training
LONG_RATE = 0.25  # learning-rate factor with which the long windows begin
EVALUATED = 32  # windows of the validation book looked at while training
WINDOW_SEED = 1
BALANCE = 0.01  # weight of the load-balancing loss of a mixture of experts
TAUGHT = 0.75  # weight of the teacher's loss, where there is a teacher; the text's has the rest


def training_tokens(corpus, tokenizer):
    """All stories as one stream of ids with an end-of-text token before each and after the last."""
    stream = [END_OF_TEXT_ID]
    for stories in training_stories(corpus).values():
        for story in stories:
            stream += [*tokenizer.encode(story), END_OF_TEXT_ID]
    return torch.tensor(stream)


class Windows:
    """Draws windows of the stream without replacement; each epoch cuts at another offset, in another order.

    What is drawn depends on the position alone, so a resumed run goes on with the same windows.
    """

    def __init__(self, stream):
        self.stream, self.key = stream, None

    def get(self, index, length):
        """Window number `index`: where in the stream it starts, and length + 1 ids (inputs and, one on, targets)."""
        per_epoch = (len(self.stream) - 1) // length - 1
        epoch = index // per_epoch
        if self.key != (epoch, length):
            self.key = (epoch, length)
            random = numpy.random.default_rng([WINDOW_SEED, epoch, length])
            self.offset, self.order = int(random.integers(length)), random.permutation(per_epoch)
        start = self.offset + int(self.order[index % per_epoch]) * length
        return start, self.stream[start : start + length + 1]


class Teacher:
    """The likeliest next tokens at each position of the stream, and their log-probabilities (teacher.py)."""

    def __init__(self, folder):
        self.tokens = numpy.load(folder / "tokens.npy", mmap_mode="r")
        self.values = numpy.load(folder / "log_probabilities.npy", mmap_mode="r")

    def divergence(self, starts, log_probabilities):
        """Summed KL(teacher ‖ student) in nats. log_probabilities (B, T, V): the student's at the positions from starts[b] on.

        Outcomes are the tokens that were kept, and all others together.
        """
        length = log_probabilities.shape[1]
        tokens = torch.stack([torch.from_numpy(self.tokens[s : s + length].astype(numpy.int64)) for s in starts])
        values = torch.stack([torch.from_numpy(self.values[s : s + length].astype(numpy.float32)) for s in starts])
        tokens, values = tokens.to(log_probabilities.device), values.to(log_probabilities.device)
        own = log_probabilities.gather(-1, tokens)
        other, own_other = ((1 - x.exp().sum(-1)).clamp_min(1e-6).log() for x in (values, own))
        return (values.exp() * (values - own)).sum() + (other.exp() * (other - own_other)).sum()


def schedule(progress):
    """Learning-rate factor at a share of the training in 0…1: warm-up, cosine, and a line to zero on long windows.

    The cosine ends at LONG_RATE, not at zero: distances that the short windows did not have must still be learned.
    """
    if progress < WARM_UP:
        return progress / WARM_UP + 1e-3
    if progress < LONG_FROM:
        cosine = 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (LONG_FROM - WARM_UP)))
        return LONG_RATE + (1 - LONG_RATE) * cosine
    return LONG_RATE * max(0, 1 - progress) / (1 - LONG_FROM)


def bits_per_byte(model, windows, bytes_per_token, rank, world):
    """Validation bits per byte over `windows` (n, LONG + 1), shared out among the processes."""
    model.eval()
    total = torch.zeros(())
    with torch.no_grad():
        for window in windows[rank::world]:
            window = window.to(model.model.norm.weight.device)
            total += F.cross_entropy(model(window[None, :-1])[0].float(), window[1:]).cpu()
    model.train()
    if world > 1:
        distributed.all_reduce(total)
    return float(total) / len(windows) / math.log(2) / bytes_per_token


def save(path, **state):
    """Writes a checkpoint so that a kill in the middle leaves the previous one."""
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def work(rank, world, args):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1 if world > 1 else torch.get_num_threads())
    torch.set_flush_denormal(True)
    if world > 1:
        distributed.init_process_group("gloo", init_method=f"file://{args.rendezvous}", rank=rank, world_size=world,
                                       timeout=datetime.timedelta(minutes=10))
    torch.manual_seed(args.seed)
    tokenizer = Tokenizer.load(args.tokenizer / "tokenizer.json")
    windows = Windows(training_tokens(args.corpus, tokenizer))
    teacher = Teacher(args.teacher) if args.teacher else None
    text = validation_text(args.corpus)
    held_out = torch.tensor([END_OF_TEXT_ID, *tokenizer.encode(text)])
    bytes_per_token = len(text.encode()) / (len(held_out) - 1)
    held_out = held_out.unfold(0, LONG + 1, LONG)[:EVALUATED]

    model = Llama(LADDER[args.model], args.dropout).to(device)
    matrices = [p for name, p in model.named_parameters()
                if name.endswith(("proj.weight", "w1.weight", "w2.weight", "w3.weight"))]
    small = [p for name, p in model.named_parameters() if p.dim() == 1 or name.endswith("gate.weight")]
    muon = Muon(matrices, args.lr, weight_decay=args.weight_decay)
    adam = torch.optim.AdamW([{"params": [model.model.embed_tokens.weight], "weight_decay": args.weight_decay},
                              {"params": small, "weight_decay": 0.0}], lr=args.adam_lr, betas=(0.9, 0.95))
    # Counters: steps, tokens seen, seconds trained, windows drawn of each length.
    count = {"steps": 0, "tokens": 0, "seconds": 0.0, SHORT: 0, LONG: 0}
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location="cpu")
        model.load_state_dict(saved["model"])
        muon.load_state_dict(saved["muon"])
        adam.load_state_dict(saved["adam"])
        count = saved["count"]

    def progress():
        """Share of the training done, by tokens or by time, whichever is further."""
        by_time = count["seconds"] / (60 * args.minutes) if args.minutes else 0.0
        return max(count["tokens"] / args.tokens, by_time)

    history = open(args.out / "history.jsonl", "a") if rank == 0 else None
    parameters = list(model.parameters())
    done, last_save, loss_average = progress(), time.time(), None
    while done < 1:
        began = time.time()
        length = SHORT if done < LONG_FROM else LONG
        drawn = args.batch // length
        # Dropout differs by step and process, and depends on nothing else: a resumed run draws the same.
        torch.manual_seed(1_000_003 * args.seed + count["steps"] * world + rank)
        model.zero_grad(set_to_none=True)
        own = range(rank, drawn, world)
        at_once = max(1, args.micro * SHORT // length)
        loss_sum = 0.0
        for first in range(0, len(own), at_once):
            chosen = own[first : first + at_once]
            starts, ids = zip(*(windows.get(count[length] + i, length) for i in chosen))
            batch = torch.stack(ids).to(device)
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                logits = model(batch[:, :-1])
            log_probabilities = logits.float().log_softmax(-1)
            loss = F.nll_loss(log_probabilities.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum")
            loss_sum += float(loss.detach())
            if teacher:
                loss = (1 - TAUGHT) * loss + TAUGHT * teacher.divergence(starts, log_probabilities)
            if model.config.experts:
                loss = loss + BALANCE * batch[:, 1:].numel() * model.balance()
            loss.backward()
        count[length] += drawn
        count["steps"] += 1
        count["tokens"] += drawn * length

        # One flat all-reduce: the gradients, the loss, and the time, so that all processes agree on the progress.
        flat = torch.cat([p.grad.flatten() for p in parameters]
                         + [torch.tensor([loss_sum, time.time() - began], device=device)])
        if world > 1:
            distributed.all_reduce(flat)
        flat[:-1] /= drawn * length
        loss_now = float(flat[-2])
        offset = 0
        for p in parameters:
            p.grad = flat[offset : offset + p.numel()].view_as(p)
            offset += p.numel()
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, args.clip))
        factor = schedule(done)
        muon.lr = args.lr * factor
        for group in adam.param_groups:
            group["lr"] = args.adam_lr * factor
        muon.step()
        adam.step()

        seconds = torch.tensor(time.time() - began, dtype=torch.float64)
        if world > 1:
            distributed.all_reduce(seconds, distributed.ReduceOp.MAX)
        count["seconds"] += float(seconds)
        done = progress()
        loss_average = loss_now if loss_average is None else 0.95 * loss_average + 0.05 * loss_now
        if count["steps"] % args.report == 0 or done >= 1:
            validation = bits_per_byte(model, held_out, bytes_per_token, rank, world)
            if rank == 0:
                line = {"step": count["steps"], "tokens": count["tokens"], "minutes": round(count["seconds"] / 60, 2),
                        "done": round(done, 4), "loss": round(loss_average, 4), "gradient": round(norm, 3),
                        "validation_bits_per_byte": round(validation, 4),
                        "tokens_per_second": round(drawn * length / float(seconds))}
                print(line, flush=True)
                history.write(json.dumps(line) + "\n")
                history.flush()
        if rank == 0 and (time.time() - last_save > 120 or done >= 1):
            save(checkpoint, model=model.state_dict(), muon=muon.state_dict(), adam=adam.state_dict(), count=count,
                 settings={k: str(v) for k, v in vars(args).items()})
            last_save = time.time()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=LADDER)
    parser.add_argument("--corpus", default="../shared/corpus", type=pathlib.Path)
    parser.add_argument("--tokenizer", required=True, type=pathlib.Path, help="folder with tokenizer.json")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for checkpoint and history")
    parser.add_argument("--teacher", type=pathlib.Path, help="folder that teacher.py wrote")
    parser.add_argument("--tokens", required=True, type=float, help="tokens to train on")
    parser.add_argument("--minutes", type=float, default=0, help="end the schedule after this much training at the latest")
    parser.add_argument("--batch", type=int, default=8192, help="tokens a step")
    parser.add_argument("--micro", type=int, default=2, help="windows of 512 a process computes at once")
    parser.add_argument("--processes", type=int, default=1 if torch.cuda.is_available() else os.cpu_count())
    parser.add_argument("--lr", type=float, default=0.02, help="Muon's, for the matrices")
    parser.add_argument("--adam-lr", type=float, default=0.003, help="AdamW's, for embedding, norms and router")
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of the gradient")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--report", type=int, default=50, help="steps between two looks at the validation book")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.rendezvous = args.out.resolve() / f"rendezvous-{os.getpid()}"
    if args.processes == 1:
        work(0, 1, args)
    else:
        torch.multiprocessing.spawn(work, (args.processes, args), args.processes)


if __name__ == "__main__":
    main()
