"""Label texts from the command line, a file or standard input, with probabilities, in the order they come.

What the model was fine-tuned for says what comes out. Output is one line a text with tabs in between (or with --format
jsonl a JSON object, with every probability):
  label, probability and text; a number and the text; or every label's probability and the text
  token    word and tag on each line, a blank line after each text; of a file, CoNLL in, CoNLL out
  span     answer, probability and question, of --question and the texts, or of a file of SQuAD
  choice   the best choice, its probability and the text, of --choice and the texts, or of a file of JSON lines
"""

import json
import sys

from bertnp.cli.arguments import add_device_arguments, add_model_argument, load_classifier, note, note_cut, number
from bertnp.cli.predictions import PREDICTORS
from bertnp.cli.reading import load_task
from bertnp.cli.texts import add_text_arguments, keeps_every_letter, one_line_each, read_texts
from bertnp.models.configuration import BertConfig
from bertnp.tasks import task_of

EXAMPLES = """\
examples:
  bertnp predict "I love you." "I hate you." --model my-model
  bertnp predict --file reviews.csv --text review --model my-model --format jsonl
  bertnp predict "Is it raining?" --second "Take an umbrella." --model my-pair-model
  cat sentences.txt | bertnp predict - --model my-model
  bertnp predict "Anna lives in Rome." --model my-tagger
  bertnp predict "Anna lives in Rome." --question "Who lives in Rome?" --model my-reader --top 3
  bertnp predict --file questions.json --model my-reader --no-answer
  bertnp predict "She opened the door." --choice "It rained." --choice "It sang." --model my-chooser
"""


def add_arguments(parser):
    add_model_argument(parser)
    parser.add_argument("--second", action="append", metavar="TEXT",
                        help="the second sentence of a pair; as often as there are TEXTs")  # fmt: skip
    parser.add_argument("--question", metavar="TEXT", help="what to find in the texts (task span)")
    parser.add_argument("--choice", action="append", metavar="TEXT", help="one of the choices (task choice)")
    parser.add_argument("--top", type=number(int, 1), default=1, metavar="N", help="answers to tell (default: 1)")
    parser.add_argument("--no-answer", action="store_true", help="there may be none: an empty answer (task span)")
    parser.add_argument("--max-answer-length", type=number(int, 1), default=30, metavar="N",
                        help="of an answer, in tokens (default: 30)")  # fmt: skip
    parser.add_argument("--stride", type=number(int, 0), metavar="N",
                        help="tokens that windows over long texts share (default: texts are cut; for token and "
                        "span a quarter of the window, at most 128)")  # fmt: skip
    add_text_arguments(parser)
    add_device_arguments(parser)


def run(args):
    if args.second and len(args.second) != len(args.texts):
        raise ValueError(f"--second: expected one for each of {len(args.texts)} texts, got {len(args.second)}")
    task = task_of(BertConfig.from_pretrained(args.model)).name
    for option, belongs in (("question", "span"), ("choice", "choice"), ("no_answer", "span")):
        if getattr(args, option) and task != belongs:
            raise ValueError(f"--{option.replace('_', '-')}: the model in {args.model} is for the task {task}, not "
                             f"{belongs}")  # fmt: skip
    if task == "pair" and not (args.second or args.pair):
        raise ValueError(f"the model in {args.model} is for pairs of sentences: give a --second for each text, or a "
                         "--file with its --pair")  # fmt: skip
    if task in PREDICTORS:
        if args.second or getattr(args, "pair", None):
            raise ValueError(f"pairs of texts are nothing for the task {task}")
        predictor = PREDICTORS[task](args, load_task)
        for line in getattr(predictor, "notes", ()):
            note(line)
        predictor.write()
        return
    predict_sequences(args)


def predict_sequences(args):
    """One class, one number or several labels for each text."""
    chunks = read_texts(args, args.second)
    classifier = load_classifier(args)
    write = write_json if args.format == "jsonl" else write_text
    for texts, pairs in chunks:
        examples = classifier.encode(texts, pairs)
        if classifier.stride is None:
            note_cut(examples, classifier.max_length, "texts")
        for row, result in enumerate(classifier.classify(examples)):
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
