"""Teach a pre-trained BERT a task: to classify sentences or pairs, to give them a number or several labels, to tag
words, to find the answer to a question in a text, or to choose between answers.

OUT gets the best model (config.json, model.safetensors, tokenizer files), metrics.json and metrics.jsonl,
learning_curve.png, and confusion_matrix.png or, for numbers, predicted_against_true.png. While it trains there is a
checkpoint after each epoch, from which --resume goes on.

Tasks and their files:
  sequence    a sentence and its label on each line: TSV, CSV or JSON lines
  pair        the same with two sentences
  regression  a sentence, or two, and a number
  multilabel  a sentence and its labels, with commas between them
  token       CoNLL: a word and its tag on each line, a blank line after each sentence; of
              more columns the first and the last, or those that --text and --label number
  span        questions about paragraphs: JSON of SQuAD, version 1.1 or 2.0
  choice      JSON lines: {"context": ..., "choices": [...], "label": 0}
"""

import argparse
import json
from pathlib import Path

from bertnp.backend.files import write_text
from bertnp.cli.arguments import add_device_arguments, add_table_arguments, make_writable, note, number, text
from bertnp.cli.learning import Learning
from bertnp.cli.sweeps import Sweep, add_sweep_arguments, over_seeds
from bertnp.cli.training import add_output_arguments, add_training_arguments, check_output
from bertnp.data.augmentation import CHANGES
from bertnp.tasks import TASKS
from bertnp.training.processes import find

EXAMPLES = """\
examples:
  bertnp finetune train.tsv --model bert-folder -o my-model
  bertnp finetune reviews.csv --text review --label stars --model bert-folder -o my-model --eval test.csv
  bertnp finetune pairs.jsonl --text premise --pair hypothesis --label gold --model bert-folder -o my-model
  bertnp finetune sts.tsv --text 2 --pair 3 --label 4 --task regression --model bert-folder -o my-model
  bertnp finetune train.conll --task token --eval dev.conll --model bert-folder -o my-tagger
  bertnp finetune train-v2.0.json --task span --eval dev-v2.0.json --model bert-folder -o my-reader
  bertnp finetune train.tsv --model bert-folder -o my-model --seeds 5 --epochs 4 --lr 3e-5
  bertnp finetune train.tsv --model bert-folder -o sweep --sweep lr=2e-5,3e-5,5e-5 batch=16,32 --seeds 3
  bertnp finetune train.tsv --model bert-folder -o curve --fractions 0.1,0.3,1 --augment swap=0.1 --sweep copies=0,1
"""


def add_arguments(parser):
    positive = number(int, 1)
    parser.add_argument("file", metavar="FILE", help="labelled examples, in UTF-8")
    parser.add_argument("--model", required=True, metavar="DIR", help="the pre-trained model: a folder, or a name")
    add_output_arguments(parser, keep=0)
    parser.add_argument("--task", choices=TASKS, help="default: pair if --pair is given, else sequence; regression if "
                        "the labels are numbers, and not all of them whole")  # fmt: skip
    add_table_arguments(parser)
    group = parser.add_argument_group("evaluation")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--eval", metavar="FILE", help="labelled examples to evaluate on after each epoch")
    either.add_argument("--hold-out", type=number(float, 0, 1), default=0.1, metavar="SHARE",
                        help="hold out this share of FILE instead; 0: no evaluation (default: 0.1)")  # fmt: skip
    group.add_argument("--split-seed", type=number(int, 0), default=0, metavar="N", help="says which part (default: 0)")
    group.add_argument("--best-by", metavar="METRIC",
                       help="what the best epoch is chosen by: loss, accuracy, f1, f1_macro, matthews, pearson, "
                       "spearman, rmse, f1_micro, precision, recall, exact (default: the first that the task "
                       "reports)")  # fmt: skip
    group.add_argument("--patience", type=positive, metavar="N", help="stop after N epochs without a better one")
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=positive, default=3, metavar="N", help="default: 3")
    add_training_arguments(group, lr=5e-5, batch_size=32, warmup=0.1)
    group.add_argument("--max-length", type=number(int, 2), metavar="N",
                       help="cut texts to so many tokens, or lay windows of so many over them (default: 128, for span "
                       "384, or what the model allows)")  # fmt: skip
    group.add_argument("--stride", type=number(int, 0), metavar="N",
                       help="lay windows over long texts that share so many tokens, instead of cutting them (default: "
                       "no windows; for token and span a quarter of the window, at most 128)")  # fmt: skip
    group.add_argument("--group-by-length", action="store_true", help="batches of texts of like length: less padding")
    group.add_argument("--class-weights", type=class_weights, metavar="WEIGHTS",
                       help="balanced, none, or NAME=WEIGHT,... for how often an example of a class counts (default: "
                       "none)")  # fmt: skip
    group.add_argument("--label-smoothing", type=number(float, 0, 1), default=0.0, metavar="SHARE",
                       help="move this share of the target to all classes alike (default: 0)")  # fmt: skip
    group.add_argument("--layer-decay", type=number(float, 0, exclusive=True), default=1.0, metavar="FACTOR",
                       help="learning rate of a layer over that of the layer above it (default: 1)")  # fmt: skip
    group.add_argument("--freeze", type=number(int, 0), metavar="N",
                       help="the embeddings and the first N layers learn nothing")  # fmt: skip
    group.add_argument("--seeds", type=positive, metavar="N",
                       help="train N times, with seeds from --seed on, into OUT/seed-0, ...; report mean and "
                       "standard deviation")  # fmt: skip
    group = parser.add_argument_group("more training texts (tasks sequence, pair, regression and multilabel)")
    group.add_argument("--augment", type=augmentation, metavar="CHANGE=P,...",
                       help="add changed copies of the texts: dropout=P leaves words out, swap=P lets words change "
                       "places, replace=P puts in words that a masked-word model predicts, each with probability P a "
                       "word")  # fmt: skip
    group.add_argument("--augment-copies", type=number(int, 0), default=1, metavar="N", help="of a text (default: 1)")
    group.add_argument("--augment-model", metavar="DIR", help="the masked-word model for replace (default: --model)")
    add_sweep_arguments(parser.add_argument_group("several trainings: a table, and a picture"))
    add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, only a line for each epoch")


def class_weights(text):
    """balanced, none (None), or a=2,b=0.5 as a dictionary."""
    if text in ("balanced", "none"):
        return None if text == "none" else text
    return named_numbers(text, "balanced, none or NAME=WEIGHT,...")


def augmentation(text):
    """dropout=0.1,swap=0.1 as a dictionary."""
    found = named_numbers(text, "CHANGE=P,...")
    for name, p in found.items():
        if name not in CHANGES or not 0 <= p < 1:
            raise argparse.ArgumentTypeError(f"expected {', '.join(CHANGES)} with probabilities below 1, got {text!r}")
    return found


def named_numbers(text, expected):
    try:
        found = {name: float(value) for name, value in (pair.rsplit("=", 1) for pair in text.split(","))}
    except ValueError:
        found = {}
    if not found or not all(value >= 0 for value in found.values()):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return found


def run(args):
    # Everything that may be wrong with the input comes to light first, before anything is written.
    output, processes = Path(args.output), find()
    if processes.first:
        check_output(output, args.overwrite or args.resume, resumes=True)
    if args.device == "cuda":
        processes.use_own_gpu()
    sweep = Sweep(args)
    first = sweep.runs[0] if sweep else args
    learning = Learning(first, processes)
    sweep.check(learning)
    folder = output / sweep.name(first) if sweep else output
    model = learning.load_model(args.seed)
    trainer = learning.trainer(model, args.seed, folder if args.seeds is None else folder / f"seed-{args.seed}")
    made = processes.first and make_writable(output)
    try:
        if not args.quiet:
            learning.describe(model)
        if not sweep:
            learn(learning, trainer, output)
            return
        for number, one in enumerate(sweep.runs):
            print(f"{number + 1}/{len(sweep.runs)}  {sweep.name(one)}", flush=True)
            if number:
                trainer = model = None  # one model in memory at a time
                learning = Learning(one, processes)
            try:
                sweep.add(one, learn(learning, trainer, output / sweep.name(one)))
            except FloatingPointError as error:  # a setting under which nothing is learned is a result, too
                note(f"{sweep.name(one)} failed: {error}")
                sweep.add_failure(one, error)
            trainer = None
            if processes.first:
                sweep.write(output)
        sweep.tell(output)
    finally:
        if made and not any(output.iterdir()):
            output.rmdir()


def learn(learning, trainer, folder):
    """Train once, or with each of the seeds; returns the records. trainer: the first, if it is made already"""
    args = learning.args
    if args.seeds is None:
        return [learning.train(trainer or learning.trainer(learning.load_model(args.seed), args.seed, folder))]
    records = []
    for seed in range(args.seed, args.seed + args.seeds):
        print(f"seed {seed}", flush=True)
        if trainer is None:
            trainer = learning.trainer(learning.load_model(seed), seed, folder / f"seed-{seed}")
        records.append(learning.train(trainer))
        trainer = None  # one model in memory at a time
    if learning.processes.first:
        summarise(records, folder)
    return records


def summarise(records, output):
    """Say and write the mean and the standard deviation (n - 1) of the best epochs' scores over the seeds."""
    best = [record["best"] for record in records]
    summary = {"seeds": [record["settings"]["seed"] for record in records], "best": best}
    summary["mean"], summary["deviation"] = over_seeds(best)
    summary["settings"] = {name: value for name, value in records[0]["settings"].items() if name != "seed"}
    write_text(output / "metrics.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    scores = ", ".join(
        f"{name} {text(mean)} ± {text(summary['deviation'][name])}" for name, mean in summary["mean"].items()
    )
    print(f"{len(records)} seeds, mean ± standard deviation: {scores or 'no evaluation'}; saved in {output}")
