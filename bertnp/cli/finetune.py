"""Teach a pre-trained BERT to classify sentences or pairs of sentences, or to give them a number.

OUT gets the best model (config.json, model.safetensors, tokenizer files), metrics.json and metrics.jsonl,
learning_curve.png, and confusion_matrix.png or, for numbers, predicted_against_true.png. While it trains there is a
checkpoint after each epoch, from which --resume goes on.
"""

import json
import statistics
from pathlib import Path

from bertnp.backend.files import write_text
from bertnp.cli.arguments import (
    add_device_arguments,
    add_table_arguments,
    float_type_for,
    make_writable,
    note_cut,
    number,
    table_options,
    text,
)
from bertnp.cli.training import (
    Notes,
    add_output_arguments,
    add_training_arguments,
    check_output,
    file_hash,
    finished,
    tell_interrupted,
    training_options,
)
from bertnp.data import encode_texts, read_table
from bertnp.data.tables import is_number
from bertnp.models.configuration import BertConfig
from bertnp.models.heads import BertForSequenceClassification
from bertnp.pipelines.checks import check_vocabulary, longest_input
from bertnp.tokenization import BertTokenizer
from bertnp.training import Callback, EvaluationLines, ProgressBar, Trainer, confusion_matrix
from bertnp.training.processes import ALONE, find

EXAMPLES = """\
examples:
  bertnp finetune train.tsv --model bert-folder -o my-model
  bertnp finetune reviews.csv --text review --label stars --model bert-folder -o my-model --eval test.csv
  bertnp finetune pairs.jsonl --text premise --pair hypothesis --label gold --model bert-folder -o my-model
  bertnp finetune sts.tsv --text 2 --pair 3 --label 4 --task regression --model bert-folder -o my-model
  bertnp finetune train.tsv --model bert-folder -o my-model --seeds 5 --epochs 4 --lr 3e-5
"""

def add_arguments(parser):
    positive = number(int, 1)
    parser.add_argument("file", metavar="FILE", help="labelled texts: TSV, CSV or JSON lines, in UTF-8")
    parser.add_argument("--model", required=True, metavar="DIR", help="the pre-trained model: a folder, or a name")
    add_output_arguments(parser, keep=0)
    parser.add_argument("--task", choices=("classification", "regression"),
                        help="default: regression if the labels are numbers, and not all of them whole")  # fmt: skip
    add_table_arguments(parser)
    group = parser.add_argument_group("evaluation")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--eval", metavar="FILE", help="labelled texts to evaluate on after each epoch")
    either.add_argument("--hold-out", type=number(float, 0, 1), default=0.1, metavar="SHARE",
                        help="hold out this share of FILE instead; 0: no evaluation (default: 0.1)")  # fmt: skip
    group.add_argument("--split-seed", type=number(int, 0), default=0, metavar="N", help="says which part (default: 0)")
    group.add_argument("--best-by", metavar="METRIC",
                       help="what the best epoch is chosen by: loss, accuracy, f1, f1_macro, matthews, pearson, "
                       "spearman or rmse (default: accuracy or pearson)")  # fmt: skip
    group.add_argument("--patience", type=positive, metavar="N", help="stop after N epochs without a better one")
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=positive, default=3, metavar="N", help="default: 3")
    add_training_arguments(group, lr=5e-5, batch_size=32, warmup=0.1)
    group.add_argument("--max-length", type=number(int, 2), metavar="N",
                       help="cut texts to so many tokens (default: 128, or what the model allows)")  # fmt: skip
    group.add_argument("--seeds", type=positive, metavar="N",
                       help="train N times, with seeds from --seed on, into OUT/seed-0, ...; report mean and "
                       "standard deviation")  # fmt: skip
    add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, only a line for each epoch")


def run(args):
    # Everything that may be wrong with the input comes to light first, before anything is written.
    output, processes = Path(args.output), find()
    if processes.first:
        check_output(output, args.overwrite or args.resume, resumes=True)
    if args.device == "cuda":
        processes.use_own_gpu()
    task = Task(args, processes)
    model = task.load_model(args.seed)
    trainer = task.trainer(model, args.seed, output if args.seeds is None else output / f"seed-{args.seed}")
    made = processes.first and make_writable(output)
    try:
        if not args.quiet:
            task.describe(model)
        if args.seeds is None:
            task.train(trainer)
        else:
            records = []
            for seed in range(args.seed, args.seed + args.seeds):
                print(f"seed {seed}", flush=True)
                if seed > args.seed:
                    trainer = task.trainer(task.load_model(seed), seed, output / f"seed-{seed}")
                records.append(task.train(trainer))
                trainer = model = None  # one model in memory at a time
            if processes.first:
                summarise(records, output)
    finally:
        if made and not any(output.iterdir()):
            output.rmdir()


class Task:
    """What is to be learned: the texts, encoded, with their labels, and how."""

    def __init__(self, args, processes=ALONE):
        self.args = args
        self.processes = processes
        float_type_for(args)  # raises where the device has no such type
        table = read_table(args.file, **table_options(args))
        self.columns, self.header, self.rows = table.columns, table.header, len(table)
        self.file_hash = file_hash(args.file)
        held_out = read_table(args.eval, **table_options(args)) if args.eval else None
        self.regression = args.task == "regression" or (args.task is None and looks_like_numbers(table.labels))
        config = BertConfig.from_pretrained(args.model)
        if self.regression:
            self.names = [str(table.columns["label"])]
            table.numbers()
        else:
            self.names = class_names(table, config)
        if held_out is None and args.hold_out > 0:
            table, held_out = table.hold_out(args.hold_out, args.split_seed)
        self.tokenizer = BertTokenizer.from_pretrained(args.model)
        check_vocabulary(config, self.tokenizer)
        default = min(128, longest_input(config, self.tokenizer))
        self.max_length = longest_input(config, self.tokenizer, args.max_length or default)

        def encode(table):
            labels = table.numbers() if self.regression else table.classes(self.names)
            return encode_texts(self.tokenizer, table.texts, table.pairs, labels, self.max_length)

        self.held_out = None if held_out is None else encode(held_out)
        self.examples = encode(table)
        self.counts = {name: table.labels.count(name) for name in self.names}

    def load_model(self, seed):
        """The pre-trained model with a classifier for these labels; of one that fits, the classifier is kept."""
        model = BertForSequenceClassification.from_pretrained(
            self.args.model, seed=seed, dtype=float_type_for(self.args), device=self.args.device,
            id2label=dict(enumerate(self.names)), ignore_mismatched_sizes=True,
            problem_type="regression" if self.regression else "single_label_classification",
        )  # fmt: skip
        for name, (found, expected) in model.load_report.wrong_shape.items():
            if not name.startswith("classifier."):
                raise ValueError(f"{self.args.model}: {name} has shape {found}, but config.json asks for {expected}")
        return model

    def trainer(self, model, seed, folder):
        args = self.args
        bar = [] if args.quiet else [ProgressBar()]
        pictures = Pictures(None if self.regression else self.names)
        return Trainer(
            model, self.examples, self.held_out,
            epochs=args.epochs, seed=seed, best_by=args.best_by, patience=args.patience, output=folder, keep=args.keep,
            tokenizer=self.tokenizer, callbacks=[*bar, Notes(), EvaluationLines(), pictures],
            processes=self.processes, **training_options(args),
            settings={
                "file": str(args.file), "file_sha256": self.file_hash, "columns": self.columns, "eval": args.eval,
                "pretrained": str(args.model),
                "hold_out": 0 if args.eval else args.hold_out, "split_seed": args.split_seed,
                "task": "regression" if self.regression else "classification", "labels": self.names,
                "max_length": self.max_length,
            },
        )  # fmt: skip

    def describe(self, model):
        """Say what was read and what will be trained."""
        columns = ", ".join(f"{what} {name!r}" for what, name in self.columns.items())
        header = "header in line 1" if self.header else "no header"
        if self.held_out is None:
            other = "no evaluation"
        else:
            other = f"{len(self.held_out):,} " + (f"in {self.args.eval}" if self.args.eval else "held out")
        print(f"data    {self.args.file}: {self.rows:,} rows ({columns}; {header}), {other}")
        if not self.regression:
            counts = [f"{name} {count:,}" for name, count in self.counts.items()]
            print(f"labels  {', '.join(counts[:10])}{', ...' if len(counts) > 10 else ''}")
        config, report = model.config, model.load_report
        fresh = [*report.newly_initialised, *report.wrong_shape]
        print(
            f"model   {self.args.model}: {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
            f"{model.num_parameters():,} parameters, {self.args.precision} on {self.args.device}"
            + (f"; newly initialised: {', '.join(fresh)}" if fresh else ""),
            flush=True,
        )
        note_cut(self.examples, self.max_length, "training texts")

    def train(self, trainer):
        """Train, say where the best model is, and return the record; one that has finished before stays as it is."""
        record = self.processes.tell(finished(trainer.output) if self.args.resume else None)
        if record:
            trainer.check_same_settings(trainer.output, record["settings"])
            print(f"{trainer.output} has finished already")
        else:
            try:
                record = trainer.train(resume=self.args.resume)
            except KeyboardInterrupt:
                tell_interrupted(trainer)
                raise
        best = record["best"]
        scores = ", ".join(f"{name} {text(value)}" for name, value in best.items() if name not in ("epoch", "step"))
        if record["ended"] == "early stopping":
            print(f"stopped early: no better epoch in the last {self.args.patience}")
        print(f"best    epoch {best['epoch']}{': ' if scores else ''}{scores}; saved in {trainer.output}", flush=True)
        return record


class Pictures(Callback):
    """Draws the pictures of a training when it is over, and notes the confusion matrix in the record."""

    def __init__(self, names):
        self.names = names  # of the classes; None where numbers are predicted

    def end(self, trainer):
        from bertnp import plotting

        if trainer.record["best"] is None:
            return
        plotting.learning_curve(trainer.record, trainer.output / "learning_curve.png")
        if trainer.best_logits is None:
            return
        labels = trainer.evaluation_set.labels
        if self.names is None:
            path = trainer.output / "predicted_against_true.png"
            plotting.predicted_against_true(labels, trainer.best_logits, path)
        else:
            matrix = confusion_matrix(labels, trainer.best_logits.argmax(axis=-1), len(self.names))
            trainer.record["confusion_matrix"] = {"labels": self.names, "true_by_predicted": matrix.tolist()}
            plotting.confusion_matrix(matrix, self.names, trainer.output / "confusion_matrix.png")


def looks_like_numbers(labels):
    """Whether labels are rather numbers to predict than classes: all are numbers, and not all of them whole."""
    return all(is_number(label) for label in labels) and not all(float(label).is_integer() for label in labels)


def class_names(table, config):
    """The classes of a table, in the order of the model's own names for them where it knows the same ones."""
    names = table.label_names()
    if len(names) < 2:
        raise ValueError(f"{table.source}: every row has the label {names[0]!r}; classes are learned from two or more")
    known = [str(config.id2label.get(number)) for number in range(config.num_labels)]
    return known if sorted(known) == sorted(names) else names


def summarise(records, output):
    """Say and write the mean and the standard deviation (n - 1) of the best epochs' scores over the seeds."""
    best = [record["best"] for record in records]
    summary = {"seeds": [record["settings"]["seed"] for record in records], "best": best, "mean": {}, "deviation": {}}
    for name in best[0]:
        values = [scores[name] for scores in best]
        if name not in ("epoch", "step") and None not in values:
            summary["mean"][name] = statistics.fmean(values)
            summary["deviation"][name] = statistics.stdev(values) if len(values) > 1 else None
    summary["settings"] = {name: value for name, value in records[0]["settings"].items() if name != "seed"}
    write_text(output / "metrics.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    scores = ", ".join(
        f"{name} {text(mean)} ± {text(summary['deviation'][name])}" for name, mean in summary["mean"].items()
    )
    print(f"{len(records)} seeds, mean ± standard deviation: {scores or 'no evaluation'}; saved in {output}")
