"""Which of several continuations or answers is right."""

from bertnp.data import encode_choices, read_choices
from bertnp.models.heads import BertForMultipleChoice
from bertnp.tasks.base import Metrics, Task, first_of_each
from bertnp.training.metrics import bootstrap_intervals


class ChoiceTask(Task):
    """The right one of C choices."""

    name = "choice"
    head = BertForMultipleChoice
    file = 'JSON lines: {"context": ..., "choices": [...], "label": 0}'
    classes = False

    def read(self, path, labelled=True):
        return read_choices(path, labelled)

    def names(self, data, config):
        return [str(place) for place in range(len(data.options[0]))]

    def what(self, data):
        return f"{len(data):,} examples of {len(data.options[0])} choices"

    def encode(self, tokenizer, data, names, max_length, stride, labelled=True):
        labels = data.labels if labelled else None
        return encode_choices(tokenizer, data.contexts, data.options, labels, max_length, stride)

    def right(self, examples, logits):
        """(n,) whether the choice with the largest logit is the right one"""
        return examples.merge(logits).argmax(axis=-1) == first_of_each(examples, examples.labels)

    def metrics(self, data, examples, names):
        return Metrics(["accuracy"], lambda logits: {"accuracy": float(self.right(examples, logits).mean())})

    def intervals(self, data, examples, names, logits, confidence):
        right = self.right(examples, logits)
        return bootstrap_intervals(lambda rows: {"accuracy": float(right[rows].mean())}, len(right), confidence)
