"""What happens beside training: progress, lines, pictures. Callbacks look on; they may add to the record."""

import sys


class Callback:
    """Called by a Trainer at the moments its methods are named after; a subclass overrides those it wants."""

    def start(self, trainer):
        """Before the first step."""

    def step_end(self, trainer):
        """After each step; trainer.step counts those done, trainer.loss is the last loss that was read."""

    def epoch_end(self, trainer, epoch):
        """After an epoch's evaluation; `epoch` is its entry in trainer.record["epochs"]."""

    def end(self, trainer):
        """After the last epoch, or when training was stopped, however that came about."""


class ProgressBar(Callback):
    """A bar on stderr with loss, learning rate and tokens per second; nothing where stderr is no terminal."""

    def __init__(self, file=None, interval=0.2):
        self.file = file or sys.stderr
        self.interval = interval  # seconds between two looks of the bar
        self.bar = None

    def step_end(self, trainer):
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(
                total=trainer.steps_per_epoch, desc=f"epoch {trainer.epoch + 1}/{trainer.epochs}", unit="batch",
                file=self.file, disable=None, leave=False, dynamic_ncols=True, mininterval=self.interval,
            )  # fmt: skip
        speed = trainer.tokens / max(trainer.train_seconds(), 1e-9)
        loss = "" if trainer.loss is None else f"{trainer.loss:.4f}"
        self.bar.set_postfix_str(f"loss {loss}, lr {trainer.optimizer.lr:.2e}, {speed:,.0f} tokens/s", refresh=False)
        self.bar.update()
        if self.bar.n >= trainer.steps_per_epoch:
            self.close()

    def end(self, trainer):
        self.close()

    def close(self):
        if self.bar is not None:
            self.bar.close()
            self.bar = None


class EpochLines(Callback):
    """One line an epoch: losses, metrics, time."""

    def __init__(self, file=None):
        self.file = file

    def epoch_end(self, trainer, epoch):
        parts = [f"loss {epoch['train_loss']:.4f}"]
        if epoch["held_out"]:
            parts.append("held out: " + ", ".join(f"{name} {_short(x)}" for name, x in epoch["held_out"].items()))
        parts.append(f"{epoch['seconds']:.1f} s, {epoch['tokens_per_second']:,.0f} tokens/s")
        best = " *" if trainer.record["best"]["epoch"] == epoch["epoch"] else ""
        line = f"epoch {epoch['epoch']}/{trainer.epochs}  {'  '.join(parts)}{best}"
        print(line, file=self.file or sys.stdout, flush=True)


def _short(value):
    return "undefined" if value is None else f"{value:.4f}"
