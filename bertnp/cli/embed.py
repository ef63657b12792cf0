"""Turn texts into vectors: from arguments, a file or standard input, in the order they come.

Any BERT will do; the folder of a sentence-transformers model also says how its vectors are made (pooling,
normalisation, longest text). Output is a JSON object for each text, or, into a file that ends in .npy, one array with
a row for each text.
"""

import argparse
import json
import sys

import numpy as np

from bertnp.backend.files import atomic_path, write_text
from bertnp.cli.arguments import (
    add_device_arguments,
    add_model_argument,
    add_table_arguments,
    float_type_for,
    note_cut,
    number,
    writable_file,
)
from bertnp.cli.texts import keeps_every_letter, read_texts

EXAMPLES = """\
examples:
  bertnp embed "I love you." "I hate you." --model sentence-model
  bertnp embed --file reviews.csv --text review --model sentence-model -o reviews.npy
  bertnp embed --file sentences.txt --model bert-folder --pooling cls --layers -1 -2 -3 -4 -o vectors.jsonl
  cat sentences.txt | bertnp embed - --model sentence-model
"""
ENDINGS = (".npy", ".jsonl")


def add_arguments(parser):
    add_model_argument(parser)
    add_encoder_arguments(parser)
    parser.add_argument("--prompt", metavar="TEXT", help="put before each text (default: what the model's folder says)")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts; a single - reads one from each line of stdin")
    parser.add_argument("--file", metavar="FILE", help="texts from TSV, CSV or JSON lines; or, of a .txt file without "
                        "--text, one from each line")  # fmt: skip
    parser.add_argument("-o", "--output", type=writable_file, metavar="FILE",
                        help="FILE.npy or FILE.jsonl (default: JSON lines on standard output)")  # fmt: skip
    add_table_arguments(parser, labelled=False, pairs=False)
    add_device_arguments(parser)


def add_encoder_arguments(parser):
    """How a vector is made from a text: --pooling, --normalize, --layers, --batch-size."""
    parser.add_argument("--pooling", nargs="+", choices=("cls", "max", "mean", "mean_sqrt_len_tokens"),
                        help="of the vectors of a text's tokens, several side by side (default: what the model's "
                        "folder says, else mean)")  # fmt: skip
    parser.add_argument("--layers", nargs="+", type=int, default=[-1], metavar="N",
                        help="add up the vectors of these layers: 0 embeddings, -1 the last (default)")  # fmt: skip
    parser.add_argument("--normalize", action=argparse.BooleanOptionalAction,
                        help="scale vectors to length 1 (default: what the model's folder says, else not)")  # fmt: skip
    parser.add_argument("--batch-size", type=number(int, 1), default=32, metavar="N", help="default: 32")


def load_encoder(args):
    """The encoder that `add_model_argument`, `add_encoder_arguments` and `add_device_arguments` ask for."""
    from bertnp.pipelines import SentenceEncoder

    return SentenceEncoder.from_pretrained(
        args.model, pooling=args.pooling, normalize=args.normalize, layers=args.layers, max_length=args.max_length,
        batch_size=args.batch_size, device=args.device, dtype=float_type_for(args),
    )  # fmt: skip


def run(args):
    ending = args.output and args.output.suffix.lower()
    if ending is not None and ending not in ENDINGS:
        raise ValueError(f"-o {args.output}: expected a name that ends in {' or '.join(ENDINGS)}")
    chunks = read_texts(args)
    encoder = load_encoder(args)
    if ending is None:
        for texts, vectors in embedded(encoder, chunks, args.prompt):
            print(as_json_lines(texts, vectors, keeps_every_letter(sys.stdout)), end="", flush=True)
        return
    texts, vectors = map(list, zip(*embedded(encoder, chunks, args.prompt), strict=True))
    vectors = np.concatenate(vectors)
    if ending == ".npy":
        with atomic_path(args.output) as temporary, open(temporary, "wb") as file:
            np.save(file, vectors)
    else:
        write_text(args.output, as_json_lines(sum(texts, []), vectors, every_letter=True))
    print(f"{len(vectors):,} vectors of {encoder.size:,} numbers: {args.output}")


def embedded(encoder, chunks, prompt):
    """(texts, their vectors) for each chunk."""
    for texts, _ in chunks:
        examples = encoder.tokenize(texts, prompt)
        note_cut(examples, encoder.max_length, "texts")
        yield texts, encoder.encode_examples(examples, progress=True)


def as_json_lines(texts, vectors, every_letter):
    """{"text": ..., "vector": [...]} on a line each."""
    lines = [
        json.dumps({"text": text, "vector": vector}, ensure_ascii=not every_letter)
        for text, vector in zip(texts, vectors.tolist(), strict=True)
    ]
    return "".join(line + "\n" for line in lines)
