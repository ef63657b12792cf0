"""Means over the steps since something: of losses, right answers, tokens and time."""

# What the parts of a loss, known by the argument of their labels, are called in reports.
PARTS = {"labels": "masked_lm", "next_sentence_label": "next_sentence"}


class RunningMeans:
    """Adds up what steps bring, and gives the means; its state is plain numbers, which a checkpoint can hold.

    Each part of a loss is a mean over its own labelled items, so the mean over several steps weighs by these.
    """

    def __init__(self, state=None):
        self.parts = {}  # name -> [sum of losses over items, items, right answers or None]
        self.tokens = 0
        self.seconds = 0.0
        if state:
            self.parts = {name: list(sums) for name, sums in state["parts"].items()}
            self.tokens, self.seconds = state["tokens"], state["seconds"]

    def add(self, parts):
        """Add a batch: the mean over several is Σ items·loss / Σ items. Chapter 14, equation 14.3.

        parts: {name: (mean loss, items, right answers or None)}, numbers of the host
        """
        for name, (loss, items, correct) in parts.items():
            self._add(name, loss * items, items, correct)

    def merge(self, other):
        """Add what another one has added up."""
        for name, sums in other.parts.items():
            self._add(name, *sums)
        self.tokens += other.tokens
        self.seconds += other.seconds

    def add_up(self, processes):
        """Add what several processes have added up, each for itself."""
        fields = ("total", "items", "correct")
        own = {f"{name} {field}": None for name in PARTS for field in fields}
        for name, sums in self.parts.items():
            own |= {f"{name} {field}": value for field, value in zip(fields, sums, strict=True)}
        every = processes.sum(own)
        parts = {name: [every[f"{name} {field}"] for field in fields] for name in PARTS}
        self.parts = {name: sums for name, sums in parts.items() if sums[0] is not None}

    def _add(self, name, total, items, correct):
        sums = self.parts.setdefault(name, [0.0, 0, None if correct is None else 0])
        sums[0] += total
        sums[1] += items
        if correct is not None:
            sums[2] += correct

    def state_dict(self):
        return {"parts": self.parts, "tokens": self.tokens, "seconds": self.seconds}

    def loss(self):
        """The sum of the parts' means."""
        return sum(total / max(items, 1) for total, items, _ in self.parts.values())

    def means(self):
        """{"loss": ..., and where a model learns to fill in words "masked_lm_loss", "masked_lm_accuracy", ...}"""
        means = {"loss": self.loss()}
        for part, (total, items, correct) in self.parts.items():
            if correct is not None:
                means[f"{PARTS[part]}_loss"] = total / max(items, 1)
                means[f"{PARTS[part]}_accuracy"] = correct / max(items, 1)
        return means

    def tokens_per_second(self):
        return self.tokens / max(self.seconds, 1e-9)
