"""Pre-train a BERT on plain text: masked words and next sentences (Devlin et al. 2019, section 3.1).

One command makes the vocabulary (unless --tokenizer or --model has one), the instances and the model. OUT gets the
best model so far, metrics.json and metrics.jsonl, training_curves.png, and, while it trains, checkpoints: `--resume`
goes on from the newest, to the same end as if nothing had happened, and remembers the other arguments. With --model
the training goes on from a published model.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertnp.backend.files import remove_leftovers, write_text
from bertnp.cli.arguments import add_device_arguments, float_type_for, make_writable, number
from bertnp.cli.plot import PICTURE
from bertnp.cli.training import (
    Notes,
    add_output_arguments,
    add_training_arguments,
    check_output,
    file_hash,
    finished,
    tell_interrupted,
    training_options,
)
from bertnp.models.configuration import BertConfig
from bertnp.models.heads import BertForMaskedLM, BertForPreTraining
from bertnp.tokenization import BertTokenizer
from bertnp.training import Callback, EvaluationLines, ProgressBar, Trainer
from bertnp.training.callbacks import shown
from bertnp.training.processes import find
from bertnp.training.trainer import LOG_FILE, read_log

EXAMPLES = """\
examples:
  bertnp pretrain books/ -o my-bert
  bertnp pretrain books/ -o my-bert --resume
  bertnp pretrain --resume -o my-bert
  bertnp pretrain corpus.txt -o small --layers 2 --hidden 128 --vocab-size 4000 --steps 2000
  bertnp pretrain reports/ -o domain-bert --model bert-folder
  bertnp instances books/ --tokenizer my-vocab -o data
  bertnp pretrain --instances data --tokenizer my-vocab -o my-bert
"""
ARGUMENTS_FILE = "pretrain.json"
INSTANCES = "instances"
TOKENIZER = "tokenizer"
NOT_REMEMBERED = ("output", "resume", "overwrite", "quiet")
PATHS = ("corpus", "tokenizer", "instances", "model")
DEFAULTS = {}  # of the arguments that are remembered; on the parser they are None, to tell which were given


def add_arguments(parser):
    positive = number(int, 1)
    parser.add_argument("corpus", nargs="*", metavar="CORPUS",
                        help="text files or folders of them: one sentence a line with blank lines between "
                        "documents, or running prose")  # fmt: skip
    add_output_arguments(parser, keep=2)
    group = parser.add_argument_group("text")
    group.add_argument("--tokenizer", metavar="DIR", help="a folder with a vocabulary (default: one is made)")
    group.add_argument("--vocab-size", type=positive, default=8000, metavar="N",
                       help="tokens of the vocabulary that is made (default: 8000)")  # fmt: skip
    group.add_argument("--cased", action="store_true", default=None, help="keep capitals and accents in it")
    group.add_argument("--instances", metavar="DIR", help="made by `bertnp instances`, in place of CORPUS")
    group.add_argument("--max-length", type=number(int, 8), default=128, metavar="N", help="default: 128")
    group.add_argument("--dupe-factor", type=positive, default=5, metavar="N",
                       help="times the corpus is gone through, cut and paired anew each time (default: 5)")  # fmt: skip
    group.add_argument("--hold-out", type=number(float, 0, 1), default=0.05, metavar="SHARE",
                       help="of the documents, to evaluate on; 0: none (default: 0.05)")  # fmt: skip
    group.add_argument("--corpus-format", choices=("lines", "prose"),
                       help="one sentence a line, or running text (default: by each file's look)")  # fmt: skip
    group.add_argument("--masking", choices=("dynamic", "static"), default="dynamic",
                       help="dynamic: other words are masked each time a text is seen; static: those chosen once, as "
                       "BERT was trained (default: dynamic)")  # fmt: skip
    group.add_argument("--whole-word", action="store_true", default=None, help="mask all pieces of a word together")
    group.add_argument("--no-next-sentence", action="store_true", default=None, help="learn the masked words alone")
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="DIR", help="go on from this model, with its tokenizer; a folder, or a name")
    group.add_argument("--layers", type=positive, default=4, metavar="L", help="default: 4")
    group.add_argument("--hidden", type=positive, default=256, metavar="H", help="default: 256")
    group.add_argument("--heads", type=positive, default=4, metavar="A", help="default: 4")
    group.add_argument("--intermediate", type=positive, metavar="I", help="default: 4 H")
    group.add_argument("--dropout", type=number(float, 0, 1), default=0.1, metavar="P", help="default: 0.1")
    group = parser.add_argument_group("training")
    either = group.add_mutually_exclusive_group()
    either.add_argument("--steps", type=positive, metavar="N", help="default: 10000")
    either.add_argument("--epochs", type=positive, metavar="N", help="go through the instances so often instead")
    add_training_arguments(group, lr=5e-4, batch_size=32, warmup=0.1)
    group.add_argument("--evaluate-every", type=positive, default=500, metavar="N", help="steps (default: 500)")
    group.add_argument("--checkpoint-every", type=number(int, 0), metavar="N",
                       help="steps; 0: never (default: at each evaluation)")  # fmt: skip
    group.add_argument("--log-every", type=positive, default=10, metavar="N", help="steps (default: 10)")
    group.add_argument("--patience", type=positive, metavar="N", help="stop after N evaluations without a better one")
    add_device_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no notes, only a line per evaluation")
    remembered = [action.dest for action in parser._actions if action.dest not in ("help", *NOT_REMEMBERED)]
    DEFAULTS.update({name: parser.get_default(name) for name in remembered})
    parser.set_defaults(**dict.fromkeys(remembered))


def run(args):
    output, resume, processes = Path(args.output), args.resume, find()
    say = (lambda *line: None) if args.quiet else (lambda *line: print(*line, flush=True))
    data = processes.in_turn(lambda: prepare(args, output, say) if processes.first else prepared(args, output, say))
    if args.device == "cuda":
        processes.use_own_gpu()
    model = make_model(args, data.tokenizer)
    trainer = make_trainer(args, output, model, data, processes)
    describe(model, trainer, say)
    record = processes.tell(finished(output) if resume else None)
    if record:
        trainer.check_same_settings(output, record["settings"])
        print(f"{output} has finished already")
    else:
        try:
            record = trainer.train(resume=resume)
        except KeyboardInterrupt:
            tell_interrupted(trainer)
            raise
        if processes.first:
            say_examples(data, trainer.model, say)
    best = record["best"]
    scores = ", ".join(f"{shown(name)} {best[name]:.4f}" for name in best if name not in ("epoch", "step"))
    print(f"best    step {best['step']:,}{': ' if scores else ''}{scores}; saved in {output}")
    say(f'next    bertnp fill-mask "..." --model {output}, or bertnp finetune FILE --model {output} -o OTHER')


def prepare(args, output, say):
    """Complete the arguments, make the folder and the data in it."""
    check_output(output, args.overwrite or args.resume, resumes=True)
    remember(args, output)
    check_arguments(args)
    make_writable(output)
    empty = not any(output.iterdir())
    remove_leftovers(output)
    write_text(output / ARGUMENTS_FILE, json.dumps(remembered(args), indent=2) + "\n")
    try:
        return Data.prepare(args, output, say)
    except (ValueError, OSError):
        if empty:  # what the user can put right shall not end in "the folder is not empty"
            shutil.rmtree(output)
        raise


def prepared(args, output, say):
    """Complete the arguments and open the data, after another process has prepared them."""
    args.resume, args.overwrite = True, False
    remember(args, output)
    return Data.prepare(args, output, say)


# what was asked for, now or when the run began


def remember(args, output):
    """Complete the arguments: with those of the run that is resumed, and the defaults where none were given."""
    given = {name: value for name, value in vars(args).items() if name in DEFAULTS and value not in (None, [])}
    for name in PATHS:
        if name in given:
            given[name] = absolute(given[name])
    path = output / ARGUMENTS_FILE
    stored = {}
    if args.resume and path.is_file():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: not the arguments of a run ({error})") from None
        changed = [f"--{name.replace('_', '-')} was {stored.get(name)} and is now {value}"
                   for name, value in given.items() if stored.get(name) != value]  # fmt: skip
        if changed:
            raise ValueError(f"can't resume with changed settings: {'; '.join(changed)}")
    for name, default in DEFAULTS.items():
        setattr(args, name, stored.get(name, given.get(name, default)))


def remembered(args):
    return {name: getattr(args, name) for name in DEFAULTS}


def absolute(value):
    """A path, or several, from wherever the command is run next; the name of a published model stays one."""
    if isinstance(value, list):
        return [absolute(item) for item in value]
    return str(Path(value).resolve()) if Path(value).exists() else value


def check_arguments(args):
    float_type_for(args)  # raises where the device has no such type
    if args.instances and args.corpus:
        raise ValueError("give either CORPUS or --instances")
    if not args.instances and not args.corpus:
        raise ValueError("there is no text to train on: give CORPUS, or --instances")
    if args.instances and not (args.tokenizer or args.model):
        raise ValueError("--instances needs the --tokenizer they were made with")
    if args.tokenizer and args.model:
        raise ValueError("--model comes with its own tokenizer: leave out --tokenizer")
    if args.hidden % args.heads:
        raise ValueError(f"--hidden {args.hidden} can't be divided among --heads {args.heads}")


# the text


@dataclass
class Data:
    """A tokenizer, and the instances made with it."""

    tokenizer: BertTokenizer
    train: object
    held_out: object
    folder: Path

    @classmethod
    def prepare(cls, args, output, say):
        """Make, or find, vocabulary and instances."""
        from bertnp.data import DynamicMasking, PretrainingInstances
        from bertnp.data.pretraining import make_instances

        tokenizer = find_tokenizer(args, output, say)
        folder = Path(args.instances or output / INSTANCES)
        if not args.instances and not (args.resume and folder.is_dir()):
            say("text    making the instances")
            make_instances(
                args.corpus, tokenizer, folder, max_seq_length=args.max_length, dupe_factor=args.dupe_factor,
                hold_out=args.hold_out, whole_word=bool(args.whole_word), format=args.corpus_format,
                overwrite=args.overwrite or args.resume, progress=not args.quiet,
            )  # fmt: skip
        train = PretrainingInstances.open(folder / "train", tokenizer)
        held_out = None
        if (folder / "held_out").is_dir():
            held_out = PretrainingInstances.open(folder / "held_out", tokenizer)
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        counts = ", ".join(f"{manifest['corpus'][what]:,} {what}" for what in ("documents", "sentences", "tokens"))
        others = "" if held_out is None else f", {len(held_out):,} held out"
        say(f"text    {counts}; {len(train):,} instances{others}")
        if args.masking == "dynamic":
            train = DynamicMasking(train, tokenizer, args.seed, whole_word=bool(args.whole_word))
        return cls(tokenizer, train, held_out, folder)


def find_tokenizer(args, output, say):
    """The tokenizer asked for; otherwise one with a vocabulary made from the corpus, kept in OUT/tokenizer."""
    from bertnp.data import read_documents
    from bertnp.tokenization.vocabulary_training import SPECIAL_TOKENS, count_words, train_vocabulary

    folder = args.model or args.tokenizer
    if folder is None:
        folder = output / TOKENIZER
        if not (args.resume and folder.is_dir()):
            from tqdm import tqdm

            from bertnp.backend.files import atomic_folder

            blank = BertTokenizer(list(SPECIAL_TOKENS), do_lower_case=not args.cased)
            documents = tqdm(read_documents(args.corpus, args.corpus_format), desc="counting words", unit=" documents",
                             delay=2, disable=True if args.quiet else None, leave=False)  # fmt: skip
            counts = count_words((sentence for document in documents for sentence in document), blank)
            tokens = train_vocabulary(counts, args.vocab_size, progress=not args.quiet)
            with atomic_folder(folder) as temporary:
                BertTokenizer(tokens, do_lower_case=not args.cased).save_pretrained(temporary)
            say(f"words   {counts.total():,} words, {len(counts):,} different; {len(tokens):,} tokens in {folder}")
    return BertTokenizer.from_pretrained(folder)


# the model


def make_model(args, tokenizer):
    """The model to train: fresh, or from --model."""
    kind = BertForMaskedLM if args.no_next_sentence else BertForPreTraining
    if args.model:
        return kind.from_pretrained(args.model, seed=args.seed, dtype=float_type_for(args), device=args.device)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=args.hidden, num_hidden_layers=args.layers,
        num_attention_heads=args.heads, intermediate_size=args.intermediate or 4 * args.hidden,
        max_position_embeddings=max(args.max_length, 128), pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=args.dropout, attention_probs_dropout_prob=args.dropout,
    )  # fmt: skip
    return kind(config, seed=args.seed, dtype=float_type_for(args), device=args.device)


def make_trainer(args, output, model, data, processes):
    steps = args.steps if args.epochs or args.steps else 10000
    bar = [] if args.quiet else [ProgressBar()]
    return Trainer(
        model, data.train, data.held_out, epochs=args.epochs, steps=steps, seed=args.seed, patience=args.patience,
        evaluate_every=args.evaluate_every, checkpoint_every=args.checkpoint_every, log_every=args.log_every,
        output=output, tokenizer=data.tokenizer, keep=args.keep, callbacks=[*bar, Notes(), EvaluationLines(), Curves()],
        processes=processes, **training_options(args),
        settings={"instances_sha256": file_hash(data.folder / "manifest.json"), "masking": args.masking,
                  "whole_word": bool(args.whole_word)},
    )  # fmt: skip


def describe(model, trainer, say):
    config = model.config
    say(f"model   {config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} "
        f"heads, vocabulary {config.vocab_size:,}: {model.num_parameters():,} parameters")  # fmt: skip
    epochs = trainer.total_steps / trainer.steps_per_epoch
    say(f"steps   {trainer.total_steps:,} of {trainer.batch_size} instances ({epochs:.1f} epochs); the masked words' "
        f"loss begins near ln V = {np.log(config.vocab_size):.3f}")  # fmt: skip


class Curves(Callback):
    """Draws the curves when training is over, however that came about."""

    def end(self, trainer):
        from bertnp import plotting

        log = trainer.output / LOG_FILE
        lines = read_log(log) if log.exists() else []
        if any("loss" in line for line in lines):
            plotting.training_curves(lines, trainer.output / PICTURE)


def say_examples(data, model, say, count=5):
    """Show held-out texts with a word masked, and what the model would put there."""
    from bertnp.pipelines import FillMask

    if data.held_out is None:
        return
    fill, tokenizer = FillMask(model, data.tokenizer), data.tokenizer
    say("words   masked in held-out text, and what the model puts there:")
    for row in np.linspace(0, len(data.held_out) - 1, count).astype(int):
        ids = data.held_out.unmasked_batch([row])["input_ids"][0]
        tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
        tokens = tokens[1 : tokens.index(tokenizer.sep_token)][:40]  # of segment A
        whole = [i for i in range(len(tokens) - 1) if tokens[i].isalpha() and not tokens[i + 1].startswith("##")]
        if not whole:
            continue
        place = whole[len(whole) // 2]
        begin, end = max(0, place - 12), place + 12
        text = [*tokens[begin:place], tokenizer.mask_token, *tokens[place + 1 : end]]
        masked = tokenizer.convert_tokens_to_string(text)
        guesses = ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in fill(masked, top_k=3))
        say(f"  {masked}\n    {guesses}   (it was: {tokens[place]})")
