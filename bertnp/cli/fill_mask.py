"""Fill the [MASK]s of texts with the words that a pre-trained model finds most probable.

Output is one line a word: probability, word, and the text with it filled in, with tabs between them; or a JSON object
for each text. Of several [MASK]s in a text each is filled for itself.
"""

import json
import sys

from bertnp.cli.arguments import add_device_arguments, add_model_argument, float_type_for, note_cut, number
from bertnp.cli.texts import add_text_arguments, keeps_every_letter, one_line_each, read_texts

EXAMPLES = """\
examples:
  bertnp fill-mask "The [MASK] sat on the mat." --model bert-folder
  bertnp fill-mask "The film was [MASK]." --targets good bad --model bert-folder
  bertnp fill-mask --file sentences.txt --model bert-folder --top-k 1 --format jsonl
"""


def add_arguments(parser):
    add_model_argument(parser)
    parser.add_argument("--top-k", type=number(int, 1), metavar="K",
                        help="how many words for each [MASK] (default: 5, or all targets)")  # fmt: skip
    parser.add_argument("--targets", nargs="+", metavar="WORD", help="choose from these words only")
    add_text_arguments(parser, pairs=False)
    add_device_arguments(parser)


def run(args):
    chunks = read_texts(args)
    from bertnp.pipelines import FillMask

    fill = FillMask.from_pretrained(
        args.model, max_length=args.max_length, batch_size=args.batch_size, device=args.device,
        dtype=float_type_for(args),
    )  # fmt: skip
    top_k = args.top_k or len(args.targets or range(5))
    separator = ""
    for texts, _ in chunks:
        examples = fill.encode(texts)
        note_cut(examples, fill.max_length, "texts")
        for text, result in zip(texts, fill.fill(examples, top_k, args.targets), strict=True):
            masks = result if isinstance(result[0], list) else [result]
            if args.format == "jsonl":
                print(json.dumps({"text": text, "masks": masks}, ensure_ascii=not keeps_every_letter(sys.stdout)))
                continue
            for predictions in masks:
                print(separator, end="")
                separator = "\n"  # an empty line between one [MASK] and the next
                for prediction in predictions:
                    words = one_line_each(prediction["token_str"], prediction["sequence"])
                    print("\t".join([f"{prediction['score']:.4f}", *words]))
        sys.stdout.flush()
