"""What all tasks have in common."""

import numpy as np

from bertnp.data.windows import default_stride


class Metrics:
    """A function of (logits, labels) that gives a set's scores: {name: number}.

    names: what it calls them, the first saying which evaluation is best
    """

    def __init__(self, names, function):
        self.names = list(names)
        self.function = function

    def __call__(self, logits, labels=None):
        return self.function(logits)


class Task:
    """One thing that a BERT is fine-tuned for.

    name: what --task calls it   head: the model's class   file: what its files look like, in a sentence
    max_length: the default   windows: whether long texts get windows where nothing is said, or are cut
    columns: whether its files are tables, with columns to choose
    options: how to read files, for `read`
    """

    name = head = file = None
    max_length = 128
    windows = False
    columns = False
    classes = True  # whether there are classes, which can have weights
    smoothing = True  # whether labels can be smoothed

    def __init__(self, **options):
        self.options = options

    def stride(self, stride, max_length):
        """The stride of windows: what was asked for, else the task's own; None: no windows."""
        return default_stride(max_length) if stride is None and self.windows else stride

    def read(self, path, labelled=True):
        """The examples of a file; what was repaired in it is in their `notes`. ValueError for what can't be."""
        raise NotImplementedError

    def names(self, data, config):
        """The names of the classes, in the order of the model's own where it knows the same ones."""
        names = self.own_names(data)
        known = [str(config.id2label.get(number)) for number in range(config.num_labels)]
        return known if sorted(known) == sorted(names) else names

    def own_names(self, data):
        raise NotImplementedError

    def counts(self, data, names):
        """How often each class occurs: {name: count}, or {} where there are none."""
        return {}

    def what(self, data):
        """How many examples of what there are, for messages."""
        raise NotImplementedError

    def check(self, data, names):
        """ValueError for labels that are not among the names."""

    def split(self, data, share, seed):
        """(the rest, a held-out share)"""
        return hold_out(data, share, seed)

    def config(self, names):
        """Entries of the model's configuration."""
        return {"id2label": dict(enumerate(names))}

    def encode(self, tokenizer, data, names, max_length, stride, labelled=True):
        """The examples as a set of rows that a model takes."""
        raise NotImplementedError

    def metrics(self, data, examples, names):
        """The Metrics of this set, with data's labels."""
        raise NotImplementedError

    def extras(self, data, examples, names, logits):
        """What else to write into the record about the best evaluation: {name: what JSON can hold}."""
        return {}

    def intervals(self, data, examples, names, logits, confidence):
        """Between which values the scores lie on other choices of examples, by bootstrap: {name: (low, high)}"""
        raise NotImplementedError

    def picture(self, data, examples, names, logits):
        """What to draw of what was predicted: a function of `bertnp.plotting` by name, and its arguments; or None."""

    def set_loss(self, model, data, names, label_smoothing, class_weights):
        """Set the model's loss. class_weights: {name: weight}, "balanced", or None"""
        if label_smoothing and not self.smoothing:
            raise ValueError(f"--label-smoothing: the task {self.name} has no classes to smooth")
        if class_weights is not None and not self.classes:
            raise ValueError(f"--class-weights: the task {self.name} has no classes to weigh")
        if class_weights is not None:
            class_weights = self.weights(class_weights, data, names)
            model.set_loss(label_smoothing, class_weights)
        elif label_smoothing:
            model.set_loss(label_smoothing)

    def weights(self, given, data, names):
        """The weights of the classes; balanced: n / (C count), so that each class counts as much as any other."""
        if given == "balanced":
            counts = self.counts(data, names)
            total = sum(counts.values())
            return [total / (len(names) * counts[name]) if counts[name] else 1.0 for name in names]
        unknown = given.keys() - set(names)
        if unknown:
            raise ValueError(f"--class-weights: there is no class {min(unknown)!r}; there are {', '.join(names)}")
        return [given.get(name, 1.0) for name in names]


def hold_out(data, share, seed, groups=None):
    """Split into (the rest, a held-out part), each in the file's order.

    groups: for each example the number of what must not be torn apart, from 0; None: each is for itself
    """
    groups = np.arange(len(data)) if groups is None else np.unique(groups, return_inverse=True)[1]
    n = int(groups.max()) + 1
    m = round(share * n)
    if not 0 < m < n:
        raise ValueError(f"holding out {share:g} of {n} leaves {n - m} to train on and {m} to evaluate on")
    held_out = np.isin(groups, np.random.default_rng(seed).permutation(n)[:m])
    return data.select(np.flatnonzero(~held_out)), data.select(np.flatnonzero(held_out))


def first_of_each(examples, values):
    """Of values for each row those of each text: its first window's."""
    return values[np.searchsorted(examples.texts, np.arange(int(examples.texts[-1]) + 1))]
