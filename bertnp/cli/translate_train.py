"""Train an encoder-decoder Transformer on pairs of a sentence and its translation (Vaswani et al. 2017).

PAIRS is a table with sources and targets in its first two columns; without it, pairs are made up: dates as people
write them with their ISO form, numbers in words with their digits, letters to be copied, or letters of which the
first is to be recalled. OUT gets the best model with its vocabularies,
metrics.json and metrics.jsonl, learning_curve.png, attention.png (what a held-out translation looked at) and
translations.tsv (source, translation and reference of all held-out pairs). While it trains there is a checkpoint
after each epoch, from which --resume goes on.

The model is trained by Adam with beta 0.9 and 0.98 and epsilon 1e-9. As published: --schedule noam --warmup 4000
--lr 1 --layers 6 --hidden 512 --heads 8 --shared.
"""

import math
from pathlib import Path

from bertnp.backend.files import write_text
from bertnp.cli.arguments import add_device_arguments, delimiter, float_type_for, make_writable, note, number, text
from bertnp.cli.texts import one_line_each
from bertnp.cli.training import (
    SCHEDULES,
    Notes,
    add_output_arguments,
    check_output,
    file_hash,
    finished,
    steps_or_share,
    tell_interrupted,
)
from bertnp.data import EncodedPairs, read_pairs
from bertnp.data.translation import MADE_UP
from bertnp.models.transformer import Transformer
from bertnp.models.transformer_configuration import TransformerConfig
from bertnp.optim import Adam
from bertnp.pipelines import Translator
from bertnp.tokenization import PairTokenizer
from bertnp.tokenization.pairs import UNITS, stands_alone
from bertnp.training import Callback, EvaluationLines, ProgressBar, Trainer, bleu, evaluate_translation

EXAMPLES = """\
examples:
  bertnp translate train -o dates
  bertnp translate train --made-up numbers -o numbers --epochs 20
  bertnp translate train english-french.tsv -o english-french --vocab-size 8000 --shared
  bertnp translate train cmn.txt -o english-chinese --no-header --file-format tsv --max-words 6
  bertnp translate train date.txt -o dates --delimiter _ --no-header --units characters --hold-out 4000
  bertnp translate train english-french.tsv -o english-french --resume
"""
SHOWN = 10  # held-out translations that are printed


def add_arguments(parser):
    positive = number(int, 1)
    parser.add_argument("pairs", nargs="?", metavar="PAIRS", help="TSV, CSV or JSON lines, in UTF-8")
    add_output_arguments(parser, keep=0)
    group = parser.add_argument_group("pairs")
    group.add_argument("--made-up", choices=tuple(MADE_UP), help="without PAIRS: what to make up (default: dates)")
    group.add_argument("--amount", type=positive, default=20000, metavar="N",
                       help="how many pairs are made up (default: 20000)")  # fmt: skip
    group.add_argument("--source", metavar="COL", help="column of the sources, by name or number (default: 1)")
    group.add_argument("--target", metavar="COL", help="column of the targets (default: 2)")
    group.add_argument("--file-format", choices=("tsv", "csv", "jsonl"), help="default: by its ending, or its look")
    group.add_argument("--delimiter", type=delimiter, metavar="CHAR", help="between columns: a character, or 'tab'")
    group.add_argument("--no-header", action="store_true", help="the first line is a pair (default: found out)")
    group.add_argument("--max-words", type=positive, metavar="N", help="leave out sources of more words")
    group.add_argument("--hold-out", type=steps_or_share, default=0.05, metavar="N",
                       help="pairs to evaluate on or, below 1, a share of all; no source is on both sides; 0: none "
                       "(default: 0.05)")  # fmt: skip
    group.add_argument("--split-seed", type=number(int, 0), default=0, metavar="N", help="says which (default: 0)")
    group = parser.add_argument_group("vocabulary")
    group.add_argument("--vocab-size", type=positive, default=8000, metavar="N",
                       help="tokens of each vocabulary at most (default: 8000)")  # fmt: skip
    group.add_argument("--shared", action="store_true", help="one vocabulary and one table of words for both sides")
    group.add_argument("--units", choices=UNITS, help="wordpiece: words cut into pieces, Chinese into characters; "
                       "characters: each is a token, spaces, too (default: wordpiece; made-up pairs: characters)")
    group = parser.add_argument_group("model")
    group.add_argument("--layers", type=positive, default=2, metavar="L", help="on either side (default: 2)")
    group.add_argument("--hidden", type=positive, default=128, metavar="H", help="default: 128")
    group.add_argument("--heads", type=positive, default=4, metavar="A", help="default: 4")
    group.add_argument("--intermediate", type=positive, metavar="I", help="default: 4 H")
    group.add_argument("--dropout", type=number(float, 0, 1), default=0.1, metavar="P", help="default: 0.1")
    group.add_argument("--label-smoothing", type=number(float, 0, 1), default=0.1, metavar="E", help="default: 0.1")
    group.add_argument("--norm-first", action="store_true", help="pre-norm in place of post-norm")
    group = parser.add_argument_group("training")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--epochs", type=positive, metavar="N", help="default: 10; of made-up pairs 4")
    either.add_argument("--steps", type=positive, metavar="N", help="make so many steps instead")
    group.add_argument("--batch-size", type=positive, default=64, metavar="N", help="pairs (default: 64)")
    group.add_argument("--micro-batch-size", type=positive, metavar="N",
                       help="pairs that go through the model together, to save memory")  # fmt: skip
    group.add_argument("--lr", type=number(float, 0), metavar="RATE",
                       help="default: 1e-3; with noam a factor of its rate, 1")  # fmt: skip
    group.add_argument("--schedule", default="linear", choices=(*SCHEDULES, "noam"),
                       help="of the learning rate (default: linear)")  # fmt: skip
    group.add_argument("--warmup", type=steps_or_share, default=0.1, metavar="N",
                       help="steps of warm-up or, below 1, a share of all steps (default: 0.1)")  # fmt: skip
    group.add_argument("--clip", type=number(float, 0), default=1.0, metavar="NORM",
                       help="longest gradient; 0: no clipping, as published (default: 1.0)")  # fmt: skip
    group.add_argument("--seed", type=number(int, 0), default=0, metavar="N", help="default: 0")
    group.add_argument("--evaluate-every", type=positive, metavar="N", help="steps (default: an epoch's)")
    group.add_argument("--patience", type=positive, metavar="N", help="stop after N evaluations without a better one")
    group.add_argument("--best-by", choices=("loss", "token_accuracy", "exact_match"), default="loss",
                       help="what the best evaluation is chosen by (default: loss)")  # fmt: skip
    group.add_argument("--translate", type=positive, default=200, metavar="N",
                       help="held-out pairs that each evaluation translates (default: 200)")  # fmt: skip
    add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, only a line per evaluation")


def run(args):
    # Everything that may be wrong with the input comes to light first, before anything is written.
    output = Path(args.output)
    check_output(output, args.overwrite or args.resume, resumes=True)
    if args.hidden % args.heads:
        raise ValueError(f"--hidden {args.hidden} can't be divided among --heads {args.heads}")
    task = Task(args)
    trainer = task.trainer(output)
    made = make_writable(output)
    try:
        if not args.quiet:
            task.describe(trainer)
        record = finished(output) if args.resume else None
        if record:
            trainer.check_same_settings(output, record["settings"])
            print(f"{output} has finished already")
            return
        try:
            trainer.train(resume=args.resume)
        except KeyboardInterrupt:
            tell_interrupted(trainer)
            raise
        task.report(trainer)
    finally:
        if made and not any(output.iterdir()):
            output.rmdir()


class Task:
    """What is to be learned: the pairs, their vocabularies, and the model."""

    def __init__(self, args):
        self.args = args
        self.units = args.units or ("wordpiece" if args.pairs else "characters")
        pairs = self.read()
        if args.max_words:
            pairs = pairs.at_most(args.max_words)
        if not len(pairs):
            raise ValueError(f"{args.pairs}: no source has at most {args.max_words} words")
        self.all, self.held_out_pairs = pairs, None
        if args.hold_out:
            pairs, self.held_out_pairs = pairs.hold_out(args.hold_out, args.split_seed)
        self.tokenizer = PairTokenizer.train(
            pairs, args.vocab_size, args.shared, self.units, self.units, progress=not args.quiet
        )
        self.examples = self.encode(pairs)
        self.held_out = None if self.held_out_pairs is None else self.encode(self.held_out_pairs)

    def read(self):
        """The pairs of the file, each once, or made up."""
        args = self.args
        if args.pairs is None:
            return MADE_UP[args.made_up or "dates"](args.amount, args.split_seed)
        if args.made_up:
            raise ValueError("give either PAIRS or --made-up")
        header = False if args.no_header else None
        options = {"format": args.file_format, "delimiter": args.delimiter, "header": header}
        return read_pairs(args.pairs, args.source, args.target, **options).distinct()

    def encode(self, pairs):
        tokenizer = self.tokenizer
        sources, targets = tokenizer.encode_sources(pairs.sources), tokenizer.encode_targets(pairs.targets)
        return EncodedPairs(sources, targets, tokenizer.source.pad_token_id)

    def model(self):
        args, source, target = self.args, self.tokenizer.source, self.tokenizer.target
        config = TransformerConfig(
            vocab_size=len(source), target_vocab_size=None if args.shared else len(target),
            hidden_size=args.hidden, num_hidden_layers=args.layers, num_attention_heads=args.heads,
            intermediate_size=args.intermediate or 4 * args.hidden, hidden_dropout_prob=args.dropout,
            norm_first=args.norm_first, label_smoothing=args.label_smoothing, pad_token_id=target.pad_token_id,
            bos_token_id=target.cls_token_id, eos_token_id=target.sep_token_id,
        )  # fmt: skip
        return Transformer(config, seed=args.seed, dtype=float_type_for(args), device=args.device)

    def trainer(self, output):
        args = self.args
        model = self.model()
        lr = args.lr or (1.0 if args.schedule == "noam" else 1e-3)
        bar = [] if args.quiet else [ProgressBar()]
        epochs = None if args.steps else args.epochs or (10 if args.pairs else 4)
        return Trainer(
            model, self.examples, self.held_out, steps=args.steps, epochs=epochs,
            batch_size=args.batch_size, micro_batch_size=args.micro_batch_size, lr=lr,
            optimizer=Adam(model, lr, betas=(0.9, 0.98), eps=1e-9), schedule=args.schedule, warmup=args.warmup,
            clip=args.clip or None, seed=args.seed, evaluate_every=args.evaluate_every, best_by=args.best_by,
            patience=args.patience, keep=args.keep, output=output, tokenizer=self.tokenizer,
            evaluator=lambda model, pairs, size: evaluate_translation(model, pairs, size, args.translate),
            callbacks=[*bar, Notes(), EvaluationLines(), Curve()],
            settings={
                "file": args.pairs, "file_sha256": file_hash(args.pairs) if args.pairs else None,
                "made_up": None if args.pairs else args.made_up or "dates", "units": self.units,
                "amount": None if args.pairs else args.amount, "max_words": args.max_words, "shared": args.shared,
                "hold_out": args.hold_out, "split_seed": args.split_seed, "vocab_size": args.vocab_size,
            },
        )  # fmt: skip

    def describe(self, trainer):
        """Say what was read and what will be trained."""
        args, config = self.args, trainer.model.config
        name = args.pairs or f"made-up {args.made_up or 'dates'}"
        held_out = "none" if self.held_out is None else f"{len(self.held_out):,}"
        print(f"pairs   {name}: {len(self.all):,} different ones, {held_out} held out")
        sizes = f"{config.words_out:,} of both sides" if args.shared else (
            f"{config.vocab_size:,} of the sources, {config.words_out:,} of the targets")  # fmt: skip
        print(f"tokens  {self.units}: {sizes}")
        print(f"model   {config.num_hidden_layers} layers on either side, hidden size {config.hidden_size}, "
              f"{config.num_attention_heads} heads: {trainer.model.num_parameters():,} parameters, {args.precision} on "
              f"{args.device}")  # fmt: skip
        print(f"steps   {trainer.total_steps:,} of {trainer.batch_size} pairs; the loss begins near ln V = "
              f"{math.log(config.words_out):.3f}", flush=True)  # fmt: skip

    def report(self, trainer):
        """Say what the best evaluation was, and translate all held-out pairs, by greedy and by beam search."""
        record = trainer.record
        best = record["best"]
        scores = ", ".join(f"{name.replace('_', ' ')} {text(value)}" for name, value in best.items()
                           if name not in ("epoch", "step"))  # fmt: skip
        print(f"best    epoch {best['epoch']}{': ' if scores else ''}{scores}; saved in {trainer.output}", flush=True)
        if self.held_out_pairs is None:
            return
        translator = Translator(trainer.model, self.tokenizer)
        record["translation"] = {}
        for name, beams in (("greedy", 1), ("beam of 4", 4)):
            found = compare(translator, self.held_out_pairs, progress=not self.args.quiet, num_beams=beams)
            record["translation"][name] = {key: value for key, value in found.items() if key != "translations"}
            say_comparison(found, name)
        trainer.write_record()
        write_translations(found["translations"], self.held_out_pairs, trainer.output / "translations.tsv")
        for one, reference in list(zip(found["translations"], self.held_out_pairs.targets, strict=True))[:SHOWN]:
            print("  " + " | ".join(one_line_each(one.source, one.text, reference)))
        from bertnp.cli.translate_run import draw

        first = min(found["translations"], key=lambda one: abs(len(one.tokens) - 8))
        draw(translator, first, trainer.output / "attention.png")


class Curve(Callback):
    """Draws the learning curve when training is over, however that came about."""

    def end(self, trainer):
        from bertnp import plotting

        if trainer.record["history"]:
            plotting.learning_curve(trainer.record, trainer.output / "learning_curve.png")


# how good translations are


def compare(translator, pairs, progress=False, **search):
    """Translate the sources of pairs, and compare with their targets.

    {"pairs", "exact_match": share, "bleu": or None without sacrebleu, "bleu_tokens": how it was counted, "score": mean,
    "unfinished": how many were cut off, "translations": list of `Translation`}

    A source counts as exactly matched where the translation's tokens are the target's, and none of them is [UNK].
    search: see `Translator`
    """
    from tqdm import tqdm

    stream = translator.stream(pairs.sources, **search)
    bar = {"delay": 2, "disable": None if progress else True, "leave": False}
    found = list(tqdm(stream, total=len(pairs), desc="translating", unit=" pairs", **bar))
    targets = [translator.tokenizer.tokens(ids[:-1]) for ids in translator.tokenizer.encode_targets(pairs.targets)]
    exact = sum(one.finished and one.tokens == tokens and "[UNK]" not in tokens
                for one, tokens in zip(found, targets, strict=True))  # fmt: skip
    counted = bleu_tokens(pairs.targets)
    try:
        score = bleu([one.text for one in found], pairs.targets, counted)
    except ImportError:
        score = None
    return {
        "pairs": len(pairs), "exact_match": exact / len(pairs), "bleu": score, "bleu_tokens": counted,
        "score": sum(one.score for one in found) / len(found),
        "unfinished": sum(not one.finished for one in found), "translations": found,
    }  # fmt: skip


def bleu_tokens(references):
    """How BLEU counts these texts: by characters, "char", where they are mostly written without spaces, else "13a"."""
    characters = "".join(references[:1000])
    return "char" if sum(map(stands_alone, characters)) > len(characters) / 2 else "13a"


def say_comparison(found, name=None):
    parts = [f"exact match {found['exact_match']:.2%}"]
    if found["bleu"] is not None:
        parts.append(f"BLEU {found['bleu']:.2f} ({'characters' if found['bleu_tokens'] == 'char' else 'words'})")
    parts.append(f"mean score {found['score']:.4f}")
    if found["unfinished"]:
        parts.append(f"{found['unfinished']:,} cut off")
    print(f"{name or 'found':8}{'' if name is None or len(name) < 8 else '  '}{', '.join(parts)}", flush=True)
    if found["bleu"] is None:
        note("BLEU needs sacrebleu: pip install 'bertnp[translate]'")


def write_translations(found, pairs, path):
    """source TAB translation TAB reference, a line each."""
    lines = ["source\ttranslation\treference"]
    for one, target in zip(found, pairs.targets, strict=True):
        lines.append("\t".join(one_line_each(one.source, one.text, target)))
    write_text(path, "\n".join(lines) + "\n")
