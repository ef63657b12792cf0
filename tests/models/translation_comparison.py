"""Train the same Transformer twice, here and in PyTorch, and compare the translations.

    python tests/models/translation_comparison.py cmn.txt -o comparison

Both begin with the same weights and see the same batches; the dropout masks are the same, too, so that chance enters
on neither side alone. BLEU of greedy search by characters, on held-out pairs, for each seed and in the mean.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from torch_transformer import TorchTransformer  # noqa: E402

from bertnp import Adam, Trainer, Transformer, TransformerConfig  # noqa: E402
from bertnp.data import EncodedPairs, batches, batches_by_length, epoch_order, read_pairs  # noqa: E402
from bertnp.models.transformer import shifted  # noqa: E402
from bertnp.optim.schedules import linear  # noqa: E402
from bertnp.tokenization import PairTokenizer  # noqa: E402
from bertnp.training import ProgressBar, bleu, translate  # noqa: E402


def prepare(args):
    """Short pairs, split, and as token ids."""
    pairs = read_pairs(args.pairs).distinct().at_most(args.max_words)
    train, held_out = pairs.hold_out(args.hold_out)
    assert not set(train.sources) & set(held_out.sources)
    tokenizer = PairTokenizer.train(train, args.vocab_size)
    encoded = [EncodedPairs(tokenizer.encode_sources(p.sources), tokenizer.encode_targets(p.targets))
               for p in (train, held_out)]  # fmt: skip
    return tokenizer, held_out, *encoded


def make_model(args, tokenizer, seed):
    config = TransformerConfig(
        vocab_size=len(tokenizer.source), target_vocab_size=len(tokenizer.target), hidden_size=args.hidden,
        num_hidden_layers=args.layers, num_attention_heads=args.heads, intermediate_size=4 * args.hidden,
    )  # fmt: skip
    return Transformer(config, seed=seed)


def train_ours(args, model, examples, seed):
    trainer = Trainer(
        model, examples, epochs=args.epochs, batch_size=args.batch_size, lr=args.lr, warmup=args.warmup, seed=seed,
        optimizer=Adam(model, args.lr, betas=(0.9, 0.98), eps=1e-9), callbacks=[ProgressBar()],
    )  # fmt: skip
    trainer.train()
    return [entry["train_loss"] for entry in trainer.record["history"]], trainer


class SameDropout(torch.nn.Module):
    """Dropout by the masks that the bertnp model draws at the same place."""

    def __init__(self, dropout, streams):
        super().__init__()
        self.dropout, self.streams = dropout, streams
        self.lengths = None  # (B,) of the sequences that x holds

    def forward(self, x):
        if not self.training or self.dropout.p == 0:
            return x
        keep = torch.zeros(x.shape, dtype=torch.bool)
        for b, n in enumerate(self.lengths):
            mask = self.streams.keep(self.dropout.p, (n, x.shape[-1]), self.dropout.site, b)
            keep[b, :n] = torch.from_numpy(mask)
        return x * keep / (1 - self.dropout.p)


def share_dropout(peer, model):
    """Put SameDropout in the place of the peer's; returns those that hold sources, and those that hold targets."""
    streams, sides = model.dropout_streams, {"encoder": [], "decoder": []}
    peer.embedding_dropout = torch.nn.ModuleDict()
    for side, placed in sides.items():
        ours = getattr(model, side)
        peer.embedding_dropout[side] = SameDropout(ours.embeddings.dropout, streams)
        placed.append(peer.embedding_dropout[side])
        for layer, own in zip(getattr(peer, side)["layers"], ours.layer, strict=True):
            parts = [own.attention.output, own.output]
            if side == "decoder":
                parts.insert(1, own.crossattention.output)
            for number, part in enumerate(parts, 1):
                same = SameDropout(part.dropout, streams)
                setattr(layer, f"dropout{number}", same)
                placed.append(same)
    return sides["encoder"], sides["decoder"]


def train_peer(args, peer, model, trainer, examples, seed):
    """The same steps by PyTorch: its autograd, its clipping, its Adam."""
    of_sources, of_targets = share_dropout(peer, model)
    streams = model.dropout_streams
    streams.seed = seed
    optimizer = torch.optim.Adam(peer.parameters(), args.lr, betas=(0.9, 0.98), eps=1e-9)
    losses, step, config = [], 0, model.config
    peer.train()
    for epoch in range(args.epochs):
        total = items = 0
        for rows in batches(epoch_order(len(examples), seed, epoch), args.batch_size):
            batch = examples.batch(rows)
            known = batch["labels"] != -100
            for placed, lengths in ((of_sources, batch["attention_mask"].sum(1)), (of_targets, known.sum(1))):
                for dropout in placed:
                    dropout.lengths = lengths.tolist()
            streams.step = step
            read = shifted(batch["labels"], config.bos_token_id, config.pad_token_id)
            inputs = batch["input_ids"], batch["attention_mask"] > 0, read, known
            logits = peer(*map(torch.from_numpy, inputs))
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), torch.from_numpy(batch["labels"]).flatten(),
                label_smoothing=config.label_smoothing,
            )  # fmt: skip
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
            optimizer.param_groups[0]["lr"] = args.lr * linear(step, trainer.total_steps, trainer.warmup)
            optimizer.step()
            total, items, step = total + loss.item() * known.sum(), items + known.sum(), step + 1
        losses.append(float(total / items))
    return losses


@torch.no_grad()
def translate_by_peer(peer, examples):
    """Token ids of greedy translations, computed from the beginning at each step."""
    peer.eval()
    config, found = peer.config, [None] * len(examples)
    for rows in batches_by_length(examples.lengths, 64):
        batch = examples.batch(rows)
        ids, mask = torch.from_numpy(batch["input_ids"]), torch.from_numpy(batch["attention_mask"] > 0)
        memory = peer.encode(ids, mask)
        written = torch.full((len(rows), 1), config.bos_token_id)
        limits = batch["attention_mask"].sum(axis=1) + 50
        while written.shape[1] <= limits.max() and not (written == config.eos_token_id).any(1).all():
            following = peer.decode(memory, mask, written)[:, -1].argmax(-1)
            written = torch.cat([written, following[:, None]], 1)
        for row, line, limit in zip(rows, written[:, 1:].tolist(), limits, strict=True):
            line = line[: int(limit)]
            found[row] = line[: line.index(config.eos_token_id)] if config.eos_token_id in line else line
    return found


def beam_against_greedy(model, held_out):
    """How beam search scores beside greedy search: means, and the pairs where it is worse."""
    greedy, beam = translate(model, held_out), translate(model, held_out, num_beams=4)
    worse = [row for row, (g, b) in enumerate(zip(greedy, beam, strict=True)) if b.score < g.score - 1e-5]
    means = {name: float(np.mean([one.score for one in found])) for name, found in (("greedy", greedy), ("beam", beam))}
    return means, worse, greedy, beam


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    for name, default in (("max-words", 6), ("hold-out", 500), ("vocab-size", 4000), ("epochs", 10), ("hidden", 128),
                          ("layers", 1), ("heads", 4), ("batch-size", 128)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--warmup", type=float, default=0.1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer, pairs, examples, held_out = prepare(args)
    print(f"{len(examples):,} pairs, {len(held_out)} held out; {len(tokenizer.source):,} and {len(tokenizer.target):,} "
          "tokens", flush=True)  # fmt: skip
    args.output.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in args.seeds:
        model = make_model(args, tokenizer, seed)
        peer = TorchTransformer(model)
        began = time.process_time()
        ours, trainer = train_ours(args, model, examples, seed)
        between = time.process_time()
        theirs = train_peer(args, peer, model, trainer, examples, seed)
        seconds = {"ours": between - began, "PyTorch": time.process_time() - between}
        means, worse, greedy, beam = beam_against_greedy(model, held_out)
        texts = {
            "ours": [tokenizer.decode(one.token_ids) for one in greedy],
            "PyTorch": [tokenizer.decode(ids) for ids in translate_by_peer(peer, held_out)],
            "ours, beam of 4": [tokenizer.decode(one.token_ids) for one in beam],
        }
        scores = {name: bleu(found, pairs.targets, "char") for name, found in texts.items()}
        alike = sum(a == b for a, b in zip(texts["ours"], texts["PyTorch"], strict=True))
        results.append({"seed": seed, "bleu": scores, "loss": {"ours": ours, "PyTorch": theirs}, "alike": alike,
                        "mean_score": means, "beam_worse": len(worse), "processor_seconds": seconds})  # fmt: skip
        print(json.dumps(results[-1], ensure_ascii=False), flush=True)
        model.save_pretrained(args.output / f"seed-{seed}")
        tokenizer.save_pretrained(args.output / f"seed-{seed}")
        for row in worse:
            print(f"  beam worse: {greedy[row].score:.4f} {texts['ours'][row]} | {beam[row].score:.4f} "
                  f"{texts['ours, beam of 4'][row]}")  # fmt: skip
        for row in np.linspace(0, len(pairs) - 1, 10).astype(int):
            found = [of[row] for of in texts.values()]
            print("  " + " | ".join([pairs.sources[row], *found, pairs.targets[row]]))
        sys.stdout.flush()
    for name in results[0]["bleu"]:
        print(f"{name}: BLEU {np.mean([result['bleu'][name] for result in results]):.2f}")
    (args.output / "comparison.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
