"""Make a WordPiece vocabulary from plain text.

CORPUS is text files in UTF-8, or folders of them (.txt, .text, .md, .markdown, or names without ending): one sentence a
line with blank lines between documents, or running text. DIR gets vocab.txt, tokenizer_config.json and tokenizer.json,
which transformers reads, too. The same corpus gives the same files on every machine.
"""

from collections import Counter
from pathlib import Path

from bertnp.cli.arguments import make_writable, note, number
from bertnp.data import corpus_files, guess_corpus_format, read_documents
from bertnp.tokenization import BertTokenizer
from bertnp.tokenization.vocabulary_training import (
    SCORES,
    SPECIAL_TOKENS,
    check_special_tokens,
    count_words,
    train_vocabulary,
)
from bertnp.tokenization.wordpiece import WordPiece

EXAMPLES = """\
examples:
  bertnp vocab books -o my-vocabulary --size 8000
  bertnp vocab train.txt more.txt -o my-vocabulary --size 30000 --cased --reserved 100
  bertnp vocab books -o my-vocabulary --size 8000 --score likelihood --min-frequency 100
"""
SHOWN = 3  # sentences, as they are now cut
SHOWN_WORDS = range(5, 15)  # so long


def add_arguments(parser):
    parser.add_argument("corpus", nargs="+", metavar="CORPUS", help="text files, or folders of them")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="write there though the folder is not empty")
    parser.add_argument("--size", type=number(int, 1), default=30_000, metavar="N",
                        help="tokens, the special ones included (default: 30000)")  # fmt: skip
    parser.add_argument("--corpus-format", choices=("lines", "prose"),
                        help="one sentence a line, or running text (default: by each file's look)")  # fmt: skip
    group = parser.add_argument_group("which pieces")
    group.add_argument("--score", choices=SCORES, default="count",
                       help="merge the pair that occurs most (count), or the one whose parts are seldom apart "
                       "(default: count)")  # fmt: skip
    group.add_argument("--min-frequency", type=number(int, 1), default=2, metavar="N",
                       help="merge no pair that occurs less often (default: 2; with --score likelihood, which likes "
                       "rare pieces, better about 100 for a few million words)")  # fmt: skip
    group.add_argument("--limit-alphabet", type=number(int, 1), default=1000, metavar="N",
                       help="keep the N most frequent characters; words with others become [UNK] (default: 1000; "
                       "Chinese needs some 8000)")  # fmt: skip
    group.add_argument("--special", nargs="+", action="extend", default=[], metavar="TOKEN",
                       help="more special tokens, found in the text as they stand")  # fmt: skip
    group.add_argument("--reserved", type=number(int, 0), default=0, metavar="N",
                       help="places for later: [unused0] [unused1] ... (default: 0)")  # fmt: skip
    group = parser.add_argument_group("the tokenizer")
    group.add_argument("--cased", action="store_true", help="tell upper from lower case (default: all lower)")
    group.add_argument("--strip-accents", action="store_true", default=None, help="take accents off (default: if "
                       "lower-cased)")  # fmt: skip
    group.add_argument("--no-strip-accents", action="store_false", dest="strip_accents", help="leave accents on")
    group.add_argument("--no-tokenize-chinese-chars", action="store_false", dest="tokenize_chinese_chars",
                       help="don't make each Chinese character a word")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no report")


def run(args):
    output = Path(args.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; expected a folder to write to")
    if not args.overwrite and output.is_dir() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty; give another folder, or --overwrite")
    check_special_tokens([*SPECIAL_TOKENS, *args.special])
    files = corpus_files(args.corpus)
    made = make_writable(output)
    try:
        tokenizer = train(args, files)
        tokenizer.save_pretrained(output)
        for older in ("special_tokens_map.json", "added_tokens.json"):  # of another tokenizer, where --overwrite
            (output / older).unlink(missing_ok=True)
    finally:
        if made and not any(output.iterdir()):
            output.rmdir()
    if not args.quiet:
        print(f"saved       {output}")


def train(args, files):
    """The tokenizer; say what the corpus holds and how it is now cut."""

    def tokenizer(tokens):
        return BertTokenizer(
            tokens, do_lower_case=not args.cased, strip_accents=args.strip_accents,
            tokenize_chinese_chars=args.tokenize_chinese_chars, extra_special_tokens=args.special,
        )  # fmt: skip

    reading = Reading(read_documents(files, args.corpus_format), args.quiet)
    word_counts = count_words(reading, tokenizer([*SPECIAL_TOKENS, *args.special]))
    tokens = train_vocabulary(
        word_counts, args.size, args.score, args.min_frequency, args.limit_alphabet, args.special, args.reserved,
        progress=not args.quiet,
    )  # fmt: skip
    trained = tokenizer(tokens)
    if not args.quiet:
        formats = Counter(args.corpus_format or guess_corpus_format(file) for file in files)
        kinds = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(formats.items()))
        words = sum(word_counts.values())
        print(f"corpus      {len(files):,} {plural('file', len(files))} ({kinds}), "
              f"{reading.documents:,} {plural('document', reading.documents)}, "
              f"{reading.sentences:,} {plural('sentence', reading.sentences)}")  # fmt: skip
        print(f"words       {words:,}, {len(word_counts):,} different ones")
        report(args, tokens, word_counts, trained, reading.examples)
        if len(tokens) < args.size:
            rarer = f" that occurs {args.min_frequency:,} times (--min-frequency)" if args.min_frequency > 1 else ""
            note(f"there are {len(tokens):,} tokens, not {args.size:,}: no pair is left to merge{rarer}")
    return trained


def report(args, tokens, word_counts, tokenizer, examples):
    """Say what the vocabulary holds, and how the corpus is cut by it."""
    special = len(SPECIAL_TOKENS) + len(args.special)
    single = sum(len(token.removeprefix("##")) == 1 for token in tokens[special:])
    within = sum(len(token) == 3 and token.startswith("##") for token in tokens[special:])
    all_characters = len(set().union(*word_counts))
    kept = single - within
    print(f"alphabet    {kept:,} characters" + (f" of {all_characters:,}" if kept < all_characters else "")
          + f", {within:,} of them also within words")  # fmt: skip
    merged = len(tokens) - special - args.reserved - single
    reserved = f"{args.reserved:,} reserved, " if args.reserved else ""
    print(f"vocabulary  {len(tokens):,} tokens: {special:,} special, {reserved}{single:,} of one character, "
          f"{merged:,} merged")  # fmt: skip
    wordpiece = WordPiece(tokenizer.vocab)
    pieces = unknown = 0
    for word, count in word_counts.items():
        cut = wordpiece.cut(word).tokens
        pieces += count * len(cut)
        unknown += count * (cut == (wordpiece.unknown_token,))
    words = sum(word_counts.values())
    print(f"text        {pieces / words:.3f} tokens a word; {unknown:,} words unknown ({unknown / words:.2%})")
    for number_, example in enumerate(examples):
        print(f"{'' if number_ else 'for example':11} {' '.join(tokenizer.tokenize(example))}")


def plural(noun, count):
    return noun if count == 1 else noun + "s"


class Reading:
    """The sentences of documents, one after the other, counted; a few of the first ones are kept as examples."""

    def __init__(self, documents, quiet):
        self.read = documents
        self.quiet = quiet
        self.documents = self.sentences = 0
        self.examples = []

    def __iter__(self):
        from tqdm import tqdm

        hidden = True if self.quiet else None  # None: unless standard error is a terminal
        with tqdm(desc="reading", unit=" sentences", delay=2, disable=hidden, leave=False) as bar:
            for document in self.read:
                self.documents += 1
                self.sentences += len(document)
                fitting = (sentence for sentence in document if len(sentence.split()) in SHOWN_WORDS)
                if len(self.examples) < SHOWN:
                    self.examples += [sentence for sentence, _ in zip(fitting, range(1), strict=False)]
                yield from document
                bar.update(len(document))
