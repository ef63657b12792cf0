"""Say which attention heads a fine-tuned model needs, measured on a labelled file.

A head's importance is how much the loss of a text would change, to first order, if the head were taken out: the mean
size of the loss's gradient by a factor of the head's output (Michel et al. 2019). Then heads are really taken out, the
least important first, the most important first and in random order, and the model is measured with what is left.
What the model was fine-tuned for says how the file is read and what is measured; see `bertnp finetune --help`.
"""

import json
from pathlib import Path

import numpy as np

from bertnp.backend.files import write_text
from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    make_writable,
    note,
    note_cut,
    number,
    text,
)
from bertnp.cli.reading import load_task, read_labelled

EXAMPLES = """\
examples:
  bertnp head-importance test.tsv --model my-model
  bertnp head-importance test.tsv --model my-model -o heads --steps 20 --examples 500
  bertnp head-importance test.conll --model my-tagger --no-ablation
"""
RESULT, MAP, CURVE = "head_importance.json", "head_importance.png", "head_ablation.png"
LEAST, MOST, RANDOM = "the least important", "the most important", "any (random order)"


def add_arguments(parser):
    parser.add_argument("file", metavar="FILE", help="labelled examples, in UTF-8, as the model was fine-tuned on")
    add_model_argument(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="DIR",
                        help=f"write {RESULT}, {MAP} and {CURVE} there")  # fmt: skip
    parser.add_argument("--examples", type=number(int, 1), metavar="N", help="draw so many of the texts, or questions "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--raw", action="store_true", help="leave the importance as it is (default: divided by the "
                        "root of the sum of squares over the heads of a layer)")  # fmt: skip
    parser.add_argument("--no-ablation", action="store_true", help="only take gradients, don't take heads out")
    parser.add_argument("--steps", type=number(int, 1), default=10, metavar="N",
                        help="take all heads out in so many steps (default: 10)")  # fmt: skip
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="N", help="of drawing texts and of the "
                        "random order (default: 0)")  # fmt: skip
    add_table_arguments(parser)
    parser.add_argument("--stride", type=number(int, 0), metavar="N",
                        help="tokens that windows over long texts share (default: as for finetune)")  # fmt: skip
    parser.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N", help="default: 32")
    add_device_arguments(parser)


def run(args):
    from tqdm import tqdm

    from bertnp.training.head_importance import head_importance

    loaded = load_task(args)
    task, data, names = read_labelled(args, loaded)
    for line in getattr(data, "notes", ()):
        note(line)
    if args.examples is not None and args.examples < len(data):
        rows = np.random.default_rng(args.seed).choice(len(data), args.examples, replace=False)
        data = data.select(np.sort(rows))
    examples = task.encode(loaded.tokenizer, data, names, loaded.max_length, loaded.stride)
    if loaded.stride is None:
        note_cut(examples, loaded.max_length, "texts")
    if args.output:
        make_writable(args.output)
    with tqdm(total=len(examples), desc="gradients", unit=" rows", delay=2, leave=False, disable=None) as bar:
        importance = head_importance(loaded.model, examples, args.batch_size, not args.raw, bar.update)
    result = {"model": str(args.model), "file": str(args.file), "texts": len(data), "by_layer": not args.raw,
              "importance": importance.tolist()}  # fmt: skip
    print_importance(importance)
    if not args.no_ablation:
        metric, curves = ablation_curves(args, loaded.model, examples, task.metrics(data, examples, names), importance)
        result |= {"metric": metric, "ablation": curves}
        print_curves(metric, curves)
    if args.output:
        from bertnp import plotting

        unit = "mean |gradient|" if args.raw else "mean |gradient|, by layer"
        write_text(args.output / RESULT, json.dumps(result, indent=2, allow_nan=False) + "\n")
        plotting.head_importance(importance, args.output / MAP, unit)
        if not args.no_ablation:
            plotting.ablation(curves, args.output / CURVE, metric)
        print(f"written: {args.output}")


def ablation_curves(args, model, examples, metrics, importance):
    """The name of the metric, and {which heads go first: [(heads taken out, score), ...]}."""
    from tqdm import tqdm

    from bertnp.models.head_masks import head_mask
    from bertnp.training import predict_logits
    from bertnp.training.head_importance import ablation_curve

    metric = metrics.names[0]
    bar = tqdm(total=3 * (min(args.steps, importance.size) + 1), desc="without heads", leave=False, disable=None)

    def score(mask):
        with head_mask(model, mask):
            logits, _ = predict_logits(model, examples, args.batch_size)
        bar.update()
        return metrics(logits)[metric]

    with bar:
        curves = {
            LEAST: ablation_curve(score, importance, args.steps),
            MOST: ablation_curve(score, importance, args.steps, most_important_first=True),
            RANDOM: ablation_curve(score, importance, args.steps, rng=np.random.default_rng(args.seed)),
        }
    return metric, curves


def print_importance(importance):
    """A row for each layer."""
    print("layer  " + "".join(f"head {a + 1:<3}" for a in range(importance.shape[1])))
    for layer, row in enumerate(importance):
        print(f"{layer + 1:5}  " + "".join(f"{value:<8.3g}" for value in row))


def print_curves(metric, curves):
    print(f"\n{metric} with heads taken out: " + ", ".join(curves) + " first")
    for points in zip(*curves.values(), strict=True):
        print(f"{points[0][0]:5}  " + "  ".join(text(value) for _, value in points))
