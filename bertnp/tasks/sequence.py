"""A class, a number or several labels for a sentence or a pair of sentences."""

import numpy as np

from bertnp.data import encode_texts, read_table
from bertnp.data.tables import is_number
from bertnp.models.heads import BertForSequenceClassification
from bertnp.tasks.base import Metrics, Task, first_of_each
from bertnp.training.metrics import (
    bootstrap_intervals,
    classification_metrics,
    confusion_matrix,
    metric_names,
    multilabel_metrics,
    regression_metrics,
)


class SequenceTask(Task):
    """One class for a sentence (or a pair)."""

    name = "sequence"
    head = BertForSequenceClassification
    file = "a sentence and its label on each line (TSV, CSV or JSON lines)"
    columns = True
    problem_type = "single_label_classification"

    def read(self, path, labelled=True):
        return read_table(path, labelled=labelled, **self.options)

    def own_names(self, table):
        names = table.label_names()
        if len(names) < 2:
            raise ValueError(f"{table.source}: every row has the label {names[0]!r}; classes are learned from two or "
                             "more")  # fmt: skip
        return names

    def counts(self, table, names):
        return {name: table.labels.count(name) for name in names}

    def what(self, table):
        columns = ", ".join(f"{what} {name!r}" for what, name in table.columns.items())
        return f"{len(table):,} rows ({columns}; {'header in line 1' if table.header else 'no header'})"

    def check(self, table, names):
        table.classes(names)

    def split(self, table, share, seed):
        return table.hold_out(share, seed)

    def config(self, names):
        return {**super().config(names), "problem_type": self.problem_type}

    def encode(self, tokenizer, table, names, max_length, stride, labelled=True):
        labels = self.labels(table, names) if labelled else None
        return encode_texts(tokenizer, table.texts, table.pairs, labels, max_length, stride)

    def labels(self, table, names):
        return table.classes(names)

    def metrics(self, table, examples, names):
        labels = first_of_each(examples, examples.labels)
        function = self.score
        return Metrics(metric_names(function, len(names)), lambda logits: function(examples.merge(logits), labels))

    score = staticmethod(classification_metrics)

    def intervals(self, table, examples, names, logits, confidence):
        labels, merged = first_of_each(examples, examples.labels), examples.merge(logits)
        return bootstrap_intervals(lambda rows: self.score(merged[rows], labels[rows]), len(labels), confidence)

    def extras(self, table, examples, names, logits):
        matrix = self.matrix(examples, names, logits)
        return {"confusion_matrix": {"labels": names, "true_by_predicted": matrix.tolist()}}

    def matrix(self, examples, names, logits):
        labels = first_of_each(examples, examples.labels)
        return confusion_matrix(labels, examples.merge(logits).argmax(axis=-1), len(names))

    def picture(self, table, examples, names, logits):
        return "confusion_matrix", (self.matrix(examples, names, logits), names)


class PairTask(SequenceTask):
    """One class for a pair of sentences."""

    name = "pair"
    file = "two sentences and their label on each line (TSV, CSV or JSON lines)"

    def __init__(self, **options):
        super().__init__(**options | {"pair": options.get("pair") or True})


class RegressionTask(SequenceTask):
    """A number for a sentence or a pair."""

    name = "regression"
    file = "a sentence (or two) and a number on each line (TSV, CSV or JSON lines)"
    problem_type = "regression"
    classes = smoothing = False
    score = staticmethod(regression_metrics)

    def names(self, table, config):
        return [str(table.columns["label"])]

    def counts(self, table, names):
        return {}

    def check(self, table, names):
        table.numbers()

    def labels(self, table, names):
        return table.numbers()

    def extras(self, table, examples, names, logits):
        return {}

    def picture(self, table, examples, names, logits):
        return "predicted_against_true", (first_of_each(examples, examples.labels), examples.merge(logits))


class MultilabelTask(SequenceTask):
    """Any number of labels for a sentence or a pair: in one cell, with a separator between them; it may be blank.

    separator: what stands between labels, in options; default a comma
    """

    name = "multilabel"
    file = "a sentence and its labels, with commas between them, on each line (TSV, CSV or JSON lines)"
    problem_type = "multi_label_classification"
    smoothing = False
    score = staticmethod(multilabel_metrics)

    def __init__(self, separator=",", **options):
        super().__init__(**options)
        self.separator = separator

    def read(self, path, labelled=True):
        return read_table(path, labelled=labelled, several=True, **self.options)

    def each(self, table):
        """The labels of each row."""
        return [[label.strip() for label in cell.split(self.separator) if label.strip()] for cell in table.labels]

    def own_names(self, table):
        names = sorted({label for labels in self.each(table) for label in labels})
        if not names:
            raise ValueError(f"{table.source}: no row has a label")
        return names

    def counts(self, table, names):
        found = [label for labels in self.each(table) for label in labels]
        return {name: found.count(name) for name in names}

    def check(self, table, names):
        self.labels(table, names)

    def labels(self, table, names):
        """(n, C) floats, 1 where a row has the label"""
        places = {name: place for place, name in enumerate(names)}
        truths = np.zeros((len(table), len(names)))
        for row, labels in enumerate(self.each(table)):
            for label in labels:
                if label not in places:
                    known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
                    raise ValueError(f"{table.place(row)}: unknown label {label!r}; known: {known}")
                truths[row, places[label]] = 1
        return truths

    def weights(self, given, table, names):
        """Balanced: a label's positive examples weigh together as much as its negative ones."""
        if given != "balanced":
            return super().weights(given, table, names)
        return [(len(table) - count) / count if count else 1.0 for count in self.counts(table, names).values()]

    def extras(self, table, examples, names, logits):
        return {}

    def picture(self, table, examples, names, logits):
        return None


def looks_like_numbers(labels):
    """Whether labels are rather numbers to predict than classes: all are numbers, and not all of them whole."""
    return all(is_number(label) for label in labels) and not all(float(label).is_integer() for label in labels)
