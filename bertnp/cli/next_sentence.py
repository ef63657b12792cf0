"""Say how probable it is that one sentence follows another, with a model that was pre-trained to tell.

Output is one line a pair: the probability and the two sentences with tabs between them, or a JSON object.
"""

import json
import sys

from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    float_type_for,
    note_cut,
)
from bertnp.cli.texts import add_output_arguments, check_texts, keeps_every_letter, one_line_each, read_table_of

EXAMPLES = """\
examples:
  bertnp next-sentence "He went to the shop." "He bought milk." --model bert-folder
  bertnp next-sentence --file pairs.tsv --model bert-folder --format jsonl
"""


def add_arguments(parser):
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="the first sentence and the second")
    add_model_argument(parser)
    parser.add_argument("--file", metavar="FILE", help="pairs from TSV, CSV or JSON lines, or - for standard input; "
                        "in the first two columns, unless --text and --pair say otherwise")  # fmt: skip
    add_table_arguments(parser, labelled=False)
    add_output_arguments(parser)
    add_device_arguments(parser)


def run(args):
    if len(args.texts) != (0 if args.file else 2):
        raise ValueError(f"give either two sentences or --file, got {len(args.texts)} "
                         f"{'sentence' if len(args.texts) == 1 else 'sentences'}"
                         f"{' and --file' if args.file else ''}")  # fmt: skip
    check_texts(args.texts)
    if args.file:
        table = read_table_of(args, text=args.text or 1, pair=args.pair or 2)
        first, second = table.texts, table.pairs
    else:
        first, second = args.texts[:1], args.texts[1:]
    from bertnp.data import encode_texts
    from bertnp.pipelines import NextSentence

    follows = NextSentence.from_pretrained(
        args.model, max_length=args.max_length, batch_size=args.batch_size, device=args.device,
        dtype=float_type_for(args),
    )  # fmt: skip
    examples = encode_texts(follows.tokenizer, first, second, max_length=follows.max_length)
    note_cut(examples, follows.max_length, "pairs")
    for one, other, probability in zip(first, second, follows.probabilities(examples).tolist(), strict=True):
        if args.format == "jsonl":
            record = {"text": one, "pair": other, "probability": probability}
            print(json.dumps(record, ensure_ascii=not keeps_every_letter(sys.stdout)))
        else:
            print("\t".join([f"{probability:.4f}", *one_line_each(one, other)]))
