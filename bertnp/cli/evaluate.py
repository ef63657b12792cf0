"""Measure a fine-tuned model on a labelled file: loss, accuracy, F1 and Matthews' correlation, or correlations."""

import json

from bertnp.backend.files import write_text
from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    load_classifier,
    note_cut,
    number,
    table_options,
    text,
    writable_file,
)
from bertnp.data import encode_texts, read_table
from bertnp.training import confusion_matrix, metrics_for, predict_logits

EXAMPLES = """\
examples:
  bertnp evaluate test.tsv --model my-model
  bertnp evaluate pairs.csv --text premise --pair hypothesis --label gold --model my-model
  bertnp evaluate test.tsv --model my-model --json scores.json --picture confusion.png
"""


def add_arguments(parser):
    parser.add_argument("file", metavar="FILE", help="labelled texts: TSV, CSV or JSON lines, in UTF-8")
    add_model_argument(parser)
    add_table_arguments(parser)
    parser.add_argument("--batch-size", type=number(int, 1), default=64, metavar="N", help="default: 64")
    parser.add_argument("--json", type=writable_file, metavar="FILE", help="write the scores there, too")
    parser.add_argument("--picture", type=writable_file, metavar="PNG",
                        help="draw the confusion matrix, or predicted against true values, there")  # fmt: skip
    add_device_arguments(parser)


def run(args):
    table = read_table(args.file, **table_options(args))
    classifier = load_classifier(args)
    names = None
    if classifier.kind == "multi_label_classification":
        raise ValueError(f"{args.model} tells for each class whether it holds; only models that give a text one class "
                         "or one number can be evaluated")  # fmt: skip
    if classifier.kind == "regression":
        labels = table.numbers()
    else:
        names = file_names(table, classifier.labels)
        labels = table.classes(names)
    examples = encode_texts(classifier.tokenizer, table.texts, table.pairs, labels, classifier.max_length)
    note_cut(examples, classifier.max_length, "texts")
    logits, loss = predict_logits(classifier.model, examples, args.batch_size)
    scores = {"loss": loss, **metrics_for(labels)(logits, labels)}
    result = {"model": str(args.model), "file": str(args.file), "texts": len(examples), "scores": scores}
    width = max(map(len, scores))
    print(f"{'texts':{width}}  {len(examples):,}")
    for name, value in scores.items():
        print(f"{name:{width}}  {text(value)}")
    if names is not None:
        matrix = confusion_matrix(labels, logits.argmax(axis=-1), len(names))
        result["confusion_matrix"] = {"labels": classifier.labels, "true_by_predicted": matrix.tolist()}
    if args.json:
        write_text(args.json, json.dumps(result, indent=2, allow_nan=False) + "\n")
    if args.picture:
        from bertnp import plotting

        if names is None:
            plotting.predicted_against_true(labels, logits, args.picture)
        else:
            plotting.confusion_matrix(matrix, classifier.labels, args.picture)


def file_names(table, names):
    """The names of the classes as the file has them: the model's or, where that has only LABEL_0, ..., the numbers."""
    numbers = [str(number) for number in range(len(names))]
    if names == [f"LABEL_{number}" for number in numbers] and set(table.labels) <= set(numbers):
        return numbers
    return names
