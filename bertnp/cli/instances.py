"""Make pre-training instances from plain text: pairs of segments with masked words (Devlin et al. 2019).

CORPUS is text files in UTF-8, or folders of them (.txt, .text, .md, .markdown, or names without ending): one sentence a
line with blank lines between documents, or running text. DIR gets the corpus as token ids, the instances made of it in
DIR/train, those of held-out documents in DIR/held_out, and manifest.json. With --hold-out 0 and the same sentences and
vocabulary, they are the instances that Google's create_pretraining_data.py makes, in its order.
"""

import textwrap
from pathlib import Path

import numpy as np

from bertnp.cli.arguments import number
from bertnp.data import PretrainingInstances, make_instances
from bertnp.data.batches import IGNORED
from bertnp.tokenization import BertTokenizer

EXAMPLES = """\
examples:
  bertnp instances books --tokenizer my-vocabulary -o my-instances
  bertnp instances wiki.txt news.txt --tokenizer bert-folder -o my-instances --max-length 512 --dupe-factor 10
  bertnp instances corpus.txt --tokenizer bert-folder -o my-instances --whole-word --hold-out 0
"""
SHOWN = 3  # instances
WIDTH = 110


def add_arguments(parser):
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="text files, or folders of them")
    parser.add_argument("--tokenizer", required=True, metavar="DIR", help="a folder with a vocabulary, or a name")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="replace instances that are there already")
    parser.add_argument("--corpus-format", choices=("lines", "prose"),
                        help="one sentence a line, or running text (default: by each file's look)")  # fmt: skip
    parser.add_argument("--hold-out", type=number(float, 0, 1), default=0.05, metavar="SHARE",
                        help="of the documents, at least two, for evaluation; 0: none (default: 0.05)")  # fmt: skip
    parser.add_argument("--seed", type=number(int, 0), default=12345, metavar="N", help="default: 12345, as Google's")
    group = parser.add_argument_group("pairs")
    group.add_argument("--max-length", type=number(int, 5), default=128, metavar="N",
                       help="tokens of an instance, [CLS] and both [SEP] included (default: 128)")  # fmt: skip
    group.add_argument("--dupe-factor", type=number(int, 1), default=5, metavar="N",
                       help="how often the corpus is gone through, cut, paired and masked anew each time. Google's "
                       "script does it 10 times, their README 5 times, which is the default here: more variety "
                       "matters only once training has gone through all of it")  # fmt: skip
    group.add_argument("--short-sequence-probability", type=number(float, 0), default=0.1, metavar="P",
                       help="how often a document is cut into shorter instances (default: 0.1)")  # fmt: skip
    group = parser.add_argument_group("masked words")
    group.add_argument("--masked-probability", type=number(float, 0), default=0.15, metavar="P",
                       help="share of the tokens that are to be predicted (default: 0.15)")  # fmt: skip
    group.add_argument("--max-predictions", type=number(int, 1), metavar="N",
                       help="of an instance (default: that share of the longest, 20 of 128 tokens)")  # fmt: skip
    group.add_argument("--whole-word", action="store_true", help='mask words with all their "##" pieces')
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no report")


def run(args):
    tokenizer = BertTokenizer.from_pretrained(args.tokenizer)
    folder = Path(args.output)
    manifest = make_instances(
        args.corpus, tokenizer, folder, max_seq_length=args.max_length, dupe_factor=args.dupe_factor,
        short_seq_prob=args.short_sequence_probability, masked_lm_prob=args.masked_probability,
        max_predictions_per_seq=args.max_predictions, whole_word=args.whole_word, seed=args.seed,
        hold_out=args.hold_out, format=args.corpus_format, overwrite=args.overwrite, progress=not args.quiet,
    )  # fmt: skip
    if not args.quiet:
        report(folder, manifest, tokenizer)


def report(folder, manifest, tokenizer):
    """Say how much there is, and show instances as the model sees them."""
    corpus = manifest["corpus"]
    print("corpus    " + ", ".join(f"{corpus[what]:,} {what}" for what in ("documents", "sentences", "tokens")))
    for name, counts in manifest["sets"].items():
        n = counts["instances"]
        print(f"{name.replace('_', ' '):9} {n:,} instances of {counts['documents']:,} documents; on average "
              f"{counts['tokens'] / n:.1f} tokens, {counts['predictions'] / n:.1f} to predict; "
              f"{counts['random_next'] / n:.1%} with another document's text as B")  # fmt: skip
    size = sum(manifest["files"].values())
    print(f"saved     {folder}, {size:,} bytes")
    instances = PretrainingInstances.open(folder / "train", tokenizer)
    for row in range(min(SHOWN, len(instances))):
        print(f"\ninstance {row + 1}" + ("" if row else ": what the model sees, and after = what it is to predict"))
        print("\n".join(readable(instances[row], tokenizer)))


def readable(batch, tokenizer):
    """The lines of an instance, a batch of one: [MASK]=word, and so on, where something is to be predicted."""
    ids, labels, is_second = (batch[name][0] for name in ("input_ids", "labels", "token_type_ids"))
    lines = []
    follows = "doesn't follow A" if batch["next_sentence_label"][0] else "follows A"
    for segment, head in ((0, "  A  "), (1, f"  B  ({follows})  ")):
        parts = []
        for s in np.flatnonzero(is_second == segment):
            token = tokenizer.convert_ids_to_tokens(int(ids[s]))
            if labels[s] != IGNORED:
                parts.append(f"{token}={tokenizer.convert_ids_to_tokens(int(labels[s]))}")
            elif token.startswith("##") and parts and "=" not in parts[-1]:
                parts[-1] += token[2:]
            else:
                parts.append(token)
        lines += textwrap.wrap(
            " ".join(parts), WIDTH, initial_indent=head, subsequent_indent=" " * 5, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
    return lines
