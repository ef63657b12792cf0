"""What happens beside training: progress, lines, pictures. Callbacks look on; they may add to the record."""

import sys


class Callback:
    """Called by a Trainer at the moments its methods are named after; a subclass overrides those it wants."""

    def resumed(self, trainer, folder, changed):
        """After a checkpoint was taken up; `changed` names what is otherwise than where it was written."""

    def start(self, trainer):
        """Before the first step."""

    def step_end(self, trainer):
        """After each step; trainer.step counts those done, trainer.loss is the last loss that was read."""

    def evaluation_start(self, trainer):
        """Before an evaluation."""

    def evaluated(self, trainer, entry):
        """After an evaluation, or after an epoch without one; `entry` is the newest in trainer.record["history"]."""

    def saved(self, trainer):
        """After a checkpoint was written."""

    def stopping(self, trainer):
        """When somebody has asked to stop: the step ends, and a checkpoint is written."""

    def end(self, trainer):
        """After the last step, or when training was stopped, however that came about."""


class ProgressBar(Callback):
    """A bar on stderr: steps, time left, loss, right answers where words are filled in, tokens per second.

    Nothing is shown where stderr is no terminal.
    """

    def __init__(self, file=None, interval=0.2):
        self.file = file or sys.stderr
        self.interval = interval  # seconds between two looks of the bar
        self.bar = None
        self.means = None

    def start(self, trainer):
        from tqdm import tqdm

        self.bar = tqdm(
            total=trainer.total_steps, initial=trainer.step, unit="step", file=self.file, disable=None, leave=False,
            dynamic_ncols=True, mininterval=self.interval, desc=self.place(trainer),
        )  # fmt: skip

    def place(self, trainer):
        """'epoch 2/3', or 'training' where steps are counted."""
        if trainer.epochs is None:
            return "training"
        return f"epoch {min(int(trainer.epoch) + 1, trainer.epochs)}/{trainer.epochs}"

    def step_end(self, trainer):
        if trainer.since_log.parts:  # empty right after a line of the log was written
            self.means = trainer.since_log.means()
        self.bar.set_description(self.place(trainer), refresh=False)
        parts = [] if trainer.loss is None else [f"loss {trainer.loss:.4f}"]
        for name, label in (("masked_lm_accuracy", "words"), ("next_sentence_accuracy", "next sentence")):
            if self.means and name in self.means:
                parts.append(f"{label} {self.means[name]:.0%}")
        speed = trainer.since_log.tokens_per_second() or trainer.since_evaluation.tokens_per_second()
        parts += [f"lr {trainer.optimizer.lr:.2e}", f"{speed:,.0f} tokens/s"]
        self.bar.set_postfix_str(", ".join(parts), refresh=False)
        self.bar.update()

    def evaluation_start(self, trainer):
        self.bar.set_description("evaluating")

    def evaluated(self, trainer, entry):
        self.bar.clear()

    def end(self, trainer):
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class EvaluationLines(Callback):
    """One line an evaluation: losses, metrics, time."""

    def __init__(self, file=None):
        self.file = file

    def evaluated(self, trainer, entry):
        parts = [f"loss {entry['train_loss']:.4f}"]
        if entry["held_out"]:
            scores = [f"{shown(name)} {_short(value)}" for name, value in entry["held_out"].items()]
            parts.append(f"held out: {', '.join(scores)}")
        parts.append(f"{entry['seconds']:.1f} s, {entry['tokens_per_second']:,.0f} tokens/s")
        best = " *" if trainer.record["best"]["step"] == entry["step"] else ""
        if trainer.epochs is None:
            place = f"step {entry['step']:,}/{trainer.total_steps:,}"
        else:
            place = f"epoch {entry['epoch']:g}/{trainer.epochs}"
        print(f"{place}  {'  '.join(parts)}{best}", file=self.file or sys.stdout, flush=True)


def shown(name):
    """A metric's name as it is written in a sentence."""
    return name.replace("masked_lm", "masked words").replace("_", " ")


def _short(value):
    return "undefined" if value is None else f"{value:.4f}"
