"""Label texts from the command line, a file or standard input, with probabilities, in the order they come.

Output is one line a text: label, probability and text with tabs between them (a number and the text, where the model
predicts numbers), or a JSON object with every label's probability.
"""

import json
import sys

from bertnp.cli.arguments import add_device_arguments, add_model_argument, load_classifier
from bertnp.cli.texts import add_text_arguments, keeps_every_letter, one_line_each, read_texts

EXAMPLES = """\
examples:
  bertnp predict "I love you." "I hate you." --model my-model
  bertnp predict --file reviews.csv --text review --model my-model --format jsonl
  bertnp predict "Is it raining?" --second "Take an umbrella." --model my-pair-model
  cat sentences.txt | bertnp predict - --model my-model
"""


def add_arguments(parser):
    add_model_argument(parser)
    parser.add_argument("--second", action="append", metavar="TEXT",
                        help="the second sentence of a pair; as often as there are TEXTs")  # fmt: skip
    add_text_arguments(parser)
    add_device_arguments(parser)


def run(args):
    if args.second and len(args.second) != len(args.texts):
        raise ValueError(f"--second: expected one for each of {len(args.texts)} texts, got {len(args.second)}")
    chunks = read_texts(args, args.second)
    classifier = load_classifier(args)
    write = write_json if args.format == "jsonl" else write_text
    for texts, pairs in chunks:
        for row, result in enumerate(classifier(texts, pairs)):
            write(texts[row], pairs and pairs[row], result, classifier.kind)
        sys.stdout.flush()


def write_text(text, pair, result, kind):
    """label TAB probability TAB text, or number TAB text."""
    if kind == "regression":
        found = [f"{result['score']:.4f}"]
    elif kind == "multi_label_classification" and len(result["scores"]) > 1:
        found = [" ".join(f"{label}={score:.4f}" for label, score in result["scores"].items())]
    else:
        found = [result["label"], f"{result['score']:.4f}"]
    print("\t".join([*found, *one_line_each(text, pair)]))


def write_json(text, pair, result, kind):
    """{"text", "pair", "label", "probability", "probabilities"} or {"text", "pair", "value"} on one line."""
    record = {"text": text} if pair is None else {"text": text, "pair": pair}
    if kind == "regression":
        record["value"] = result["score"]
    else:
        record |= {"label": result["label"], "probability": result["score"], "probabilities": result["scores"]}
    print(json.dumps(record, ensure_ascii=not keeps_every_letter(sys.stdout)))
