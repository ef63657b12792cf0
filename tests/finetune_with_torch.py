"""`bertnp finetune --task token` and `--task span` once more, with transformers and PyTorch, to compare the scores.

    python tests/finetune_with_torch.py token TRAIN.conll DEV.conll CHECKPOINT --epochs 3 --lr 1e-4 --seeds 3
    python tests/finetune_with_torch.py span TRAIN.json DEV.json CHECKPOINT --epochs 2 --max-length 256 --stride 64

Settings are those of the command: AdamW with decay 0.01 but none for biases and layer norms, linear schedule with a
tenth of warm-up, clipping at 1, dropout as in the checkpoint's configuration. A seed gives the order of the examples
and the first weights of the head that it gives bertnp; dropout is PyTorch's own. Features, models, optimiser, decoding
and, of tags, scores are of transformers, PyTorch, seqeval and this file. The last epoch counts, or the best by F1.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import (
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertTokenizerFast,
    get_linear_schedule_with_warmup,
)

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent / "data")]

from slow_answers import slow_answers  # noqa: E402

import bertnp  # noqa: E402
from bertnp.training.metrics import span_scores  # noqa: E402


def read_conll(path):
    """[[(word, tag), ...], ...]"""
    sentences = [[]]
    for line in Path(path).read_text(encoding="utf-8").split("\n"):
        if line.strip():
            sentences[-1].append(tuple(line.split("\t")))
        elif sentences[-1]:
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


class Tags:
    """Sentences, no longer than a window; the first piece of a word has its label."""

    def __init__(self, train, dev, tokenizer, max_length, stride):
        self.sets = [read_conll(train), read_conll(dev)]
        kinds = sorted({tag[2:] for sentence in self.sets[0] for _, tag in sentence if tag != "O"})
        self.names = ["O", *(f"{letter}-{kind}" for kind in kinds for letter in "BI")]
        self.features = [self.encode(sentences, tokenizer, max_length) for sentences in self.sets]

    def encode(self, sentences, tokenizer, max_length):
        rows = []
        for sentence in sentences:
            words = [word for word, _ in sentence]
            encoding = tokenizer(words, is_split_into_words=True)
            assert len(encoding["input_ids"]) <= max_length, "a sentence that needs windows: give a larger --max-length"
            of = encoding.word_ids()
            first = [n is not None and (i == 0 or of[i - 1] != n) for i, n in enumerate(of)]
            labels = [self.names.index(sentence[n][1]) if f else -100 for n, f in zip(of, first, strict=True)]
            rows.append({**encoding, "labels": labels, "words": of})
        return rows

    def head(self, folder, seed):
        names = dict(enumerate(self.names))
        return bertnp.BertForTokenClassification.from_pretrained(folder, seed=seed, id2label=names)

    model = BertForTokenClassification

    def scores(self, outputs):
        from seqeval.metrics import f1_score

        predicted = []
        for row, sentence, logits in zip(self.features[1], self.sets[1], outputs, strict=True):
            tags = ["O"] * len(sentence)  # a word of invisible characters alone has no piece
            for k, label, word in zip(logits.argmax(-1), row["labels"], row["words"], strict=True):
                if label != -100:
                    tags[word] = self.names[k]
            predicted.append(tags)
        return {"f1": f1_score([[tag for _, tag in sentence] for sentence in self.sets[1]], predicted)}


class Spans:
    """Questions with windows over their paragraphs, as in transformers' run_qa.py."""

    def __init__(self, train, dev, tokenizer, max_length, stride):
        self.tokenizer, self.sizes = tokenizer, {"max_length": max_length, "stride": stride}
        articles = [json.loads(Path(path).read_text(encoding="utf-8"))["data"] for path in (train, dev)]
        self.sets = [
            [(q, p["context"]) for article in data for p in article["paragraphs"] for q in p["qas"]]
            for data in articles
        ]
        self.features = [self.encode(examples) for examples in self.sets]

    def encode(self, examples):
        rows = []
        for number, (question, context) in enumerate(examples):
            found = self.tokenizer(
                question["question"].strip(), context, truncation="only_second", return_overflowing_tokens=True,
                return_offsets_mapping=True, **self.sizes,
            )  # fmt: skip
            answer = question["answers"][0]
            start, end = answer["answer_start"], answer["answer_start"] + len(answer["text"])
            for i, offsets in enumerate(found["offset_mapping"]):
                places = [j for j, sequence in enumerate(found.sequence_ids(i)) if sequence == 1]
                first, last = 0, 0
                if offsets[places[0]][0] <= start and offsets[places[-1]][1] >= end:
                    first, last = places[0], places[-1]
                    while first < len(offsets) and first <= places[-1] and offsets[first][0] <= start:
                        first += 1
                    while offsets[last][1] >= end and last >= places[0]:
                        last -= 1
                    first, last = first - 1, last + 1
                names = ("input_ids", "token_type_ids", "attention_mask")
                row = {name: found[name][i] for name in names}
                rows.append({**row, "start_positions": first, "end_positions": last, "example": number,
                             "window": found[i]})  # fmt: skip
        return rows

    def head(self, folder, seed):
        return bertnp.BertForQuestionAnswering.from_pretrained(folder, seed=seed)

    model = BertForQuestionAnswering

    def scores(self, outputs):
        gold, predicted = {}, {}
        for number, (question, context) in enumerate(self.sets[1]):
            mine = [i for i, row in enumerate(self.features[1]) if row["example"] == number]
            windows, logits = [self.features[1][i]["window"] for i in mine], [outputs[i] for i in mine]
            gold[question["id"]] = [answer["text"] for answer in question["answers"]]
            predicted[question["id"]] = slow_answers(windows, context, logits, 1, 30, False)[0]["answer"]
        return {name: span_scores(gold, predicted)[name] for name in ("f1", "exact")}


def batch_of(rows):
    """Tensors, padded to the longest row."""
    S, batch = max(len(row["input_ids"]) for row in rows), {}
    for name in rows[0]:
        if name in ("example", "window", "words"):
            continue
        fill = -100 if name == "labels" else 0
        values = [row[name] for row in rows]
        if isinstance(values[0], list):
            values = [value + [fill] * (S - len(value)) for value in values]
        batch[name] = torch.tensor(values)
    return batch


def train(data, folder, seed, args):
    """The trained model, and the best of the scores after each epoch."""
    with tempfile.TemporaryDirectory() as start:
        data.head(folder, seed).save_pretrained(start)
        model = data.model.from_pretrained(start)
    torch.manual_seed(seed)
    decayed = [p for n, p in model.named_parameters() if p.ndim > 1]
    others = [p for n, p in model.named_parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=args.lr)
    rows = data.features[0]
    per_epoch = -(-len(rows) // args.batch_size)
    total = per_epoch * args.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(0.1 * total), total)
    history = []
    for epoch in range(args.epochs):
        model.train()
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        for start in range(0, len(rows), args.batch_size):
            loss = model(**batch_of([rows[i] for i in order[start : start + args.batch_size]])).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        history.append(data.scores(predict(model, data.features[1])))
        print(f"  epoch {epoch + 1}: {history[-1]}", flush=True)
    return model, max(history, key=lambda scores: scores["f1"])


def predict(model, rows):
    """For each row its logits, (S, C), without padding."""
    model.eval()
    outputs = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    with torch.no_grad():
        for start in range(0, len(rows), 64):
            chosen = order[start : start + 64]
            out = model(**batch_of([rows[i] for i in chosen]))
            logits = out.logits if "logits" in out else torch.stack([out.start_logits, out.end_logits], -1)
            for i, row in zip(chosen, logits.numpy(), strict=True):
                outputs[i] = row[: len(rows[i]["input_ids"])]
    return outputs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("token", "span"))
    parser.add_argument("train")
    parser.add_argument("dev")
    parser.add_argument("model")
    for name, kind, default in (("epochs", int, 3), ("lr", float, 5e-5), ("batch-size", int, 16), ("seeds", int, 3),
                                ("max-length", int, 256), ("stride", int, 64)):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind, default=default)
    args = parser.parse_args()
    tokenizer = BertTokenizerFast.from_pretrained(args.model)
    data = {"token": Tags, "span": Spans}[args.task](args.train, args.dev, tokenizer, args.max_length, args.stride)
    found = []
    for seed in range(args.seeds):
        began = time.perf_counter()
        print(f"seed {seed}")
        found.append(train(data, args.model, seed, args)[1])
        print(f"  {time.perf_counter() - began:.0f} s, best {found[-1]}", flush=True)
    for name in found[0]:
        values = [scores[name] for scores in found]
        print(f"{name} {statistics.fmean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}")


if __name__ == "__main__":
    main()
