"""Measure a fine-tuned model on a labelled file: loss, accuracy and F1, correlations, entities or answers found.

What the model was fine-tuned for says how the file is read and what is measured; see `bertnp finetune --help`.
"""

import json

from bertnp.backend.files import write_text
from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    note,
    note_cut,
    number,
    text,
    writable_file,
)
from bertnp.cli.learning import note_details
from bertnp.cli.reading import load_task, read_labelled
from bertnp.data.tagged import tagged_as_conll
from bertnp.training import predict_logits

EXAMPLES = """\
examples:
  bertnp evaluate test.tsv --model my-model
  bertnp evaluate pairs.csv --text premise --pair hypothesis --label gold --model my-model
  bertnp evaluate test.tsv --model my-model --json scores.json --picture confusion.png
  bertnp evaluate test.conll --model my-tagger --predictions tagged.conll
  bertnp evaluate test.tsv --model my-model --confidence 0.95
  bertnp evaluate dev-v2.0.json --model my-reader --predictions answers.json
"""


def add_arguments(parser):
    parser.add_argument("file", metavar="FILE", help="labelled examples, in UTF-8, as the model was fine-tuned on")
    add_model_argument(parser)
    add_table_arguments(parser)
    parser.add_argument("--stride", type=number(int, 0), metavar="N",
                        help="tokens that windows over long texts share (default: as for finetune)")  # fmt: skip
    parser.add_argument("--batch-size", type=number(int, 1), default=64, metavar="N", help="default: 64")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="write the scores there, too")
    parser.add_argument("--predictions", type=writable_file, metavar="FILE",
                        help="write what was predicted there: of words as CoNLL, of answers as SQuAD's {id: "
                        "answer}")  # fmt: skip
    parser.add_argument("--picture", type=writable_file, metavar="PNG",
                        help="draw the confusion matrix, or predicted against true values, there")  # fmt: skip
    parser.add_argument("--confidence", type=number(float, 0, 1, exclusive=True), metavar="SHARE",
                        help="tell with each score between which values it lies, with this confidence (such as "
                        "0.95), on other choices of examples")  # fmt: skip
    add_device_arguments(parser)


def run(args):
    loaded = load_task(args)
    task, data, names = read_labelled(args, loaded)
    if args.predictions and task.name not in ("token", "span"):
        raise ValueError(f"--predictions: models of the task {task.name} have none to write; see bertnp predict")
    examples = task.encode(loaded.tokenizer, data, names, loaded.max_length, loaded.stride)
    for line in getattr(data, "notes", ()):
        note(line)
    if loaded.stride is None:
        note_cut(examples, loaded.max_length, "texts")
    note_details(examples)
    logits, loss = predict_logits(loaded.model, examples, args.batch_size)
    scores = {"loss": loss, **task.metrics(data, examples, names)(logits)}
    width = max(map(len, scores))
    print(f"{'texts':{width}}  {len(data):,}")
    intervals = {}
    if args.confidence:
        intervals = task.intervals(data, examples, names, logits, args.confidence)
    for name, value in scores.items():
        between = f"  ({text(intervals[name][0])} to {text(intervals[name][1])})" if name in intervals else ""
        print(f"{name:{width}}  {text(value)}{between}")
    result = {"model": str(args.model), "file": str(args.file), "texts": len(data), "scores": scores}
    if intervals:
        result["intervals"] = {"confidence": args.confidence, **intervals}
    result |= task.extras(data, examples, loaded.names, logits)
    if args.json:
        write_text(args.json, json.dumps(result, indent=2, allow_nan=False) + "\n")
    if args.predictions:
        write_predictions(args.predictions, task, data, examples, names, logits)
    if args.picture:
        draw(task.picture(data, examples, loaded.names, logits), task, args.picture)


def draw(picture, task, path):
    from bertnp import plotting

    if picture is None:
        raise ValueError(f"--picture: there is none of the task {task.name}")
    getattr(plotting, picture[0])(*picture[1], path)


def write_predictions(path, task, data, examples, names, logits):
    if task.name == "token":
        write_text(path, tagged_as_conll(data.words, task.tags(examples, names, logits)))
        return
    texts, doubt = task.found(data, examples, logits)
    if data.unanswerable:
        texts = {identity: "" if doubt[identity] > 0 else answer for identity, answer in texts.items()}
    write_text(path, json.dumps(texts, indent=2, ensure_ascii=False) + "\n")
