"""A task with its data, as the command line says: what `bertnp finetune` trains, once or many times."""

import copy

import numpy as np

from bertnp.cli.arguments import float_type_for, note, note_cut, text
from bertnp.cli.training import Notes, file_hash, finished, tell_interrupted, training_options
from bertnp.data.augmentation import augmented
from bertnp.models.configuration import BertConfig
from bertnp.pipelines.checks import check_vocabulary, longest_input
from bertnp.tasks import TASKS
from bertnp.tasks.sequence import looks_like_numbers
from bertnp.tokenization import BertTokenizer
from bertnp.training import Callback, EvaluationLines, ProgressBar, Trainer
from bertnp.training.processes import ALONE

TABLE_OPTIONS = ("text", "pair", "label", "format", "delimiter", "header", "quotes")


class Learning:
    """What is to be learned: the examples, encoded, with their labels, and how."""

    def __init__(self, args, processes=ALONE):
        self.args = args
        self.processes = processes
        float_type_for(args)  # raises where the device has no such type
        self.task, data = read_training(args)
        self.file_hash = file_hash(args.file)
        self.read = self.task.what(data)
        held_out = self.task.read(args.eval) if args.eval else None
        self.notes = [*data.notes, *(held_out.notes if held_out else [])] if hasattr(data, "notes") else []
        config = BertConfig.from_pretrained(args.model)
        self.names = self.task.names(data, config)
        self.task.check(data, self.names)
        if held_out is None and args.hold_out > 0:
            data, held_out = self.task.split(data, args.hold_out, args.split_seed)
        self.all = data
        data = share_of(data, args.fraction, args.split_seed)
        self.counts = self.task.counts(data, self.names)
        self.tokenizer = BertTokenizer.from_pretrained(args.model)
        check_vocabulary(config, self.tokenizer)
        self.set_lengths(config)
        self.train_texts = len(data)
        self.data, self.held_out_data = self.augment(data), held_out
        self.held_out = None if held_out is None else self.encode(held_out)
        examples = self.encode(self.data)
        self.examples = examples.to_train() if getattr(examples, "unheld", ()) else examples

    def set_lengths(self, config):
        """How long a row may be, and what windows share."""
        default = min(self.task.max_length, longest_input(config, self.tokenizer))
        self.max_length = longest_input(config, self.tokenizer, self.args.max_length or default)
        self.stride = self.task.stride(self.args.stride, self.max_length)

    def check(self, args):
        """ValueError where other settings won't do, those of a later run of a sweep; tried on a very small model."""
        other, config = copy.copy(self), BertConfig.from_pretrained(args.model)
        other.args = args
        other.set_lengths(config)
        if (other.max_length, other.stride) != (self.max_length, self.stride):
            other.encode(self.data)
            if self.held_out_data is not None:
                other.encode(self.held_out_data)
        other.data = share_of(self.all, args.fraction, args.split_seed)
        small = {"hidden_size": config.num_attention_heads, "intermediate_size": 1}
        model = self.task.head(config.copy(**small, **self.task.config(self.names)))
        other.set_loss(model)
        other.trainer(model, args.seed, None)

    def augment(self, data):
        """The training data, with changed copies if they are asked for."""
        args = self.args
        if not args.augment or not args.augment_copies:
            return data
        if not self.task.columns:
            raise ValueError(f"--augment: the task {self.task.name} needs its words as they are")
        fill, mask = None, "[MASK]"
        if args.augment.get("replace"):
            fill, mask = self.filler(args.augment_model or args.model)
        return augmented(data, args.augment_copies, args.split_seed, **args.augment, fill=fill, mask=mask)

    def filler(self, folder):
        """What `augmented` fills in [MASK]s with: the predictions of a model pre-trained on masked words."""
        from tqdm import tqdm

        from bertnp.pipelines import FillMask

        filler = FillMask.from_pretrained(folder, device=self.args.device)

        def fill(texts):
            lengths = [len(ids) for ids in filler.tokenizer(texts, verbose=False)["input_ids"]]
            short = [row for row, length in enumerate(lengths) if length <= filler.max_length]
            found = [None] * len(texts)
            steps = range(0, len(short), 64)
            for start in tqdm(steps, desc="replacing words", unit="batch", leave=False, disable=None):
                rows = short[start : start + 64]
                for row, words in zip(rows, filler([texts[row] for row in rows], top_k=20), strict=True):
                    words = words if isinstance(words[0], list) else [words]
                    found[row] = [[(w["token_str"], w["score"]) for w in fitting] for fitting in words]
            return found

        return fill, filler.tokenizer.mask_token

    def encode(self, data):
        return self.task.encode(self.tokenizer, data, self.names, self.max_length, self.stride)

    def load_model(self, seed):
        """The pre-trained model with a head for these labels; of one that fits, the head is kept."""
        args = self.args
        model = self.task.head.from_pretrained(
            args.model, seed=seed, dtype=float_type_for(args), device=args.device, ignore_mismatched_sizes=True,
            **self.task.config(self.names),
        )  # fmt: skip
        for name, (found, expected) in model.load_report.wrong_shape.items():
            if not name.startswith(("classifier.", "qa_outputs.")):
                raise ValueError(f"{args.model}: {name} has shape {found}, but config.json asks for {expected}")
        model.config.finetuning_task = self.task.name
        self.set_loss(model)
        return model

    def set_loss(self, model):
        self.task.set_loss(model, self.data, self.names, self.args.label_smoothing, self.args.class_weights)

    def trainer(self, model, seed, folder):
        args = self.args
        bar = [] if args.quiet else [ProgressBar()]
        metrics = None
        if self.held_out is not None:
            metrics = self.task.metrics(self.held_out_data, self.held_out, self.names)
        return Trainer(
            model, self.examples, self.held_out, metrics=metrics,
            epochs=args.epochs, seed=seed, best_by=args.best_by, patience=args.patience, output=folder, keep=args.keep,
            tokenizer=self.tokenizer, callbacks=[*bar, Notes(), EvaluationLines(), Pictures(self)],
            layer_decay=args.layer_decay, freeze=args.freeze, group_by_length=args.group_by_length,
            processes=self.processes, **training_options(args), settings=self.settings(),
        )  # fmt: skip

    def settings(self):
        args = self.args
        return {
            "file": str(args.file), "file_sha256": self.file_hash, "columns": getattr(self.data, "columns", None),
            "eval": args.eval, "pretrained": str(args.model),
            "hold_out": 0 if args.eval else args.hold_out, "split_seed": args.split_seed, "fraction": args.fraction,
            "task": self.task.name, "labels": self.names, "max_length": self.max_length, "stride": self.stride,
            "class_weights": args.class_weights, "label_smoothing": args.label_smoothing,
            "train_texts": self.train_texts, "augment_copies": args.augment_copies,
            "augment": args.augment if args.augment_copies else None,
        }  # fmt: skip

    def describe(self, model):
        """Say what was read and what will be trained."""
        args = self.args
        if self.held_out is None:
            other = "no evaluation"
        else:
            other = f"{len(self.held_out_data):,} " + (f"in {args.eval}" if args.eval else "held out")
        print(f"data    {args.file}: {self.read}, {other}")
        if self.counts:
            counts = [f"{name} {count:,}" for name, count in self.counts.items()]
            print(f"labels  {', '.join(counts[:10])}{', ...' if len(counts) > 10 else ''}")
        config, report = model.config, model.load_report
        fresh = [*report.newly_initialised, *report.wrong_shape]
        print(
            f"model   {args.model}: {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
            f"{model.num_parameters():,} parameters, {args.precision} on {args.device}"
            + (f"; newly initialised: {', '.join(fresh)}" if fresh else ""),
            flush=True,
        )
        self.warn()

    def warn(self):
        """Say what was repaired or left out of the data."""
        for line in self.notes:
            note(line)
        if self.stride is None:
            note_cut(self.examples, self.max_length, "training texts")
        note_details(self.examples)

    def train(self, trainer):
        """Train, say where the best model is, and return the record; one that has finished before stays as it is."""
        record = self.processes.tell(finished(trainer.output) if self.args.resume else None)
        if record:
            trainer.check_same_settings(trainer.output, record["settings"])
            print(f"{trainer.output} has finished already")
        else:
            try:
                record = trainer.train(resume=self.args.resume)
            except KeyboardInterrupt:
                tell_interrupted(trainer)
                raise
        best = record["best"]
        scores = ", ".join(f"{name} {text(value)}" for name, value in best.items() if name not in ("epoch", "step"))
        if record["ended"] == "early stopping":
            print(f"stopped early: no better epoch in the last {self.args.patience}")
        print(f"best    epoch {best['epoch']}{': ' if scores else ''}{scores}; saved in {trainer.output}", flush=True)
        return record


class Pictures(Callback):
    """Draws the pictures of a training when it is over, and notes what the task has to say in the record."""

    def __init__(self, learning):
        self.learning = learning

    def end(self, trainer):
        from bertnp import plotting

        if trainer.record["best"] is None:
            return
        plotting.learning_curve(trainer.record, trainer.output / "learning_curve.png")
        if trainer.best_logits is not None:
            learning = self.learning
            about = learning.held_out_data, learning.held_out, learning.names, trainer.best_logits
            trainer.record |= learning.task.extras(*about)
            picture = learning.task.picture(*about)
            if picture:
                getattr(plotting, picture[0])(*picture[1], trainer.output / f"{picture[0]}.png")


def read_training(args):
    """The task that the command line asks for, and its training data."""
    options = reading_options(args)
    if args.task is not None:
        task = make_task(args.task, options)
        return task, task.read(args.file)
    kind = "pair" if options.get("pair") else "sequence"
    table = TASKS[kind](**options).read(args.file)
    kind = "regression" if looks_like_numbers(table.labels) else kind
    return TASKS[kind](**options), table


def reading_options(args):
    """What the command line says about how to read files: only what was given."""
    values = {name: getattr(args, name, None) for name in TABLE_OPTIONS if name != "format"}
    values["format"] = args.file_format
    return {name: value for name, value in values.items() if value is not None}


def make_task(name, options):
    """The task of that name; ValueError for options that its files don't have."""
    task, options = TASKS[name], dict(options)
    if name == "multilabel" and "separator" not in options:
        options["separator"] = ","
    if name == "token":
        columns = {"text": "word", "label": "tag"}
        for option in columns.keys() & options.keys():
            if not options[option].isdecimal() or int(options[option]) < 1:
                raise ValueError(f"--{option}: expected the number of a column, from 1, got {options[option]!r}")
            options[columns[option]] = int(options.pop(option))
    others = options.keys() - {"word", "tag"} if name == "token" else options.keys()
    if others and not task.columns:
        option = "file-format" if min(others) == "format" else min(others)
        raise ValueError(f"--{option}: files of the task {name} have no such option; they are {task.file}")
    return task(**options)


def share_of(data, share, seed):
    """A share of the examples, in their order; larger shares hold the smaller ones."""
    if share == 1:
        return data
    n = round(share * len(data))
    if n < 1:
        raise ValueError(f"{share:g} of {len(data)} examples is none")
    return data.select(np.sort(np.random.default_rng(seed).permutation(len(data))[:n]))


def note_details(examples):
    """Say what is remarkable about rows of words or of questions."""
    if getattr(examples, "wordless", 0):
        note(f"{examples.wordless:,} words have no token (invisible characters alone?) and can't be learned or found")
    if getattr(examples, "cut", ()):
        note(f"{len(examples.cut):,} questions were longer than their share of the window and were cut")
    if getattr(examples, "unheld", ()):
        note(f"{len(examples.unheld):,} questions have an answer that no window holds whole (is it longer than "
             "--max-length allows, or of invisible characters?); training leaves them out")  # fmt: skip
