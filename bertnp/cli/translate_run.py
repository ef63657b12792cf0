"""Translate texts from the command line, a file or standard input, in the order they come.

Output is one translation a line, or a JSON object with its score. With --pairs the sources of a file are translated
and compared with the translations in it.
"""

import json
import sys

from bertnp.cli.arguments import add_device_arguments, float_type_for, note, number, table_options, writable_file
from bertnp.cli.texts import add_text_arguments, keeps_every_letter, one_line_each, read_texts
from bertnp.cli.translate_train import compare, say_comparison
from bertnp.data import read_pairs
from bertnp.pipelines import Translator

EXAMPLES = """\
examples:
  bertnp translate run "the 3rd of March 1994" --model dates
  bertnp translate run "I love you." --model english-chinese --beams 8 --format jsonl
  bertnp translate run "I love you." --model english-chinese --attention looks.png
  bertnp translate run --pairs test.tsv --model english-chinese
  cat sentences.txt | bertnp translate run - --model english-chinese
"""


def add_arguments(parser):
    parser.add_argument("--model", required=True, metavar="DIR", help="what `bertnp translate train` wrote")
    add_text_arguments(parser, pairs=False)
    parser.add_argument("--pairs", metavar="FILE", help="translate sources (column --text) and compare with targets")
    parser.add_argument("--target", metavar="COL", help="the column of these (default: 2)")
    group = parser.add_argument_group("search")
    group.add_argument("--beams", type=number(int, 1), default=4, metavar="K",
                       help="hypotheses kept at each step; 1: greedy (default: 4)")  # fmt: skip
    group.add_argument("--length-penalty", type=number(float, 0), default=0.6, metavar="ALPHA",
                       help="n tokens are scored by log p / ((5 + n) / 6)^ALPHA (default: 0.6)")  # fmt: skip
    group.add_argument("--max-length", type=number(int, 1), metavar="N",
                       help="tokens of a translation at most (default: those of the source and 50)")  # fmt: skip
    parser.add_argument("--attention", type=writable_file, metavar="PNG",
                        help="draw what the first translation looked at")  # fmt: skip
    parser.add_argument("--each-head", action="store_true", help="a panel for each head in that picture")
    add_device_arguments(parser)


def run(args):
    if args.pairs:
        if args.texts or args.file:
            raise ValueError("give either texts, or --pairs")
        if args.attention:
            raise ValueError("--attention draws a text that is given, and none is: --pairs compares many")
        options = {**table_options(args), "format": args.file_format}
        pairs = read_pairs(args.pairs, options.pop("text"), args.target, **options)
    else:
        chunks = read_texts(args)
    translator = Translator.from_pretrained(
        args.model, batch_size=args.batch_size, device=args.device, dtype=float_type_for(args)
    )
    search = {"num_beams": args.beams, "length_penalty": args.length_penalty, "max_length": args.max_length}
    if args.pairs:
        say_comparison(compare(translator, pairs, progress=True, **search))
        return
    drawn = args.attention is None
    for texts, _ in chunks:
        for one in translator.stream(texts, **search):
            write(one, args.format)
            if not drawn:
                drawn = draw(translator, one, args.attention, args.each_head)
        sys.stdout.flush()


def write(one, format):
    if format == "text":
        print(*one_line_each(one.text))
        return
    record = {"source": one.source, "translation": one.text, "log_probability": one.log_probability, "score": one.score,
              "finished": one.finished}  # fmt: skip
    print(json.dumps(record, ensure_ascii=not keeps_every_letter(sys.stdout)))


def draw(translator, one, path, each_head=False):
    """Draw the picture, and print the key of tokens that no font here has."""
    from bertnp import plotting

    source, target, attentions = translator.attentions(one.source, one)
    key = plotting.cross_attention(source, target, attentions, path, each_head)
    if key:
        note(f"{path}: no font here has some of the tokens; they stand there by number")
        note("  " + "   ".join(f"{number} {token}" for number, token in key.items()))
    return True
