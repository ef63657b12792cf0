"""Which of several continuations or answers is right."""

from bertnp.data import encode_choices, read_choices
from bertnp.models.heads import BertForMultipleChoice
from bertnp.tasks.base import Metrics, Task, first_of_each
from bertnp.training.metrics import classification_metrics


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

    def metrics(self, data, examples, names):
        labels = first_of_each(examples, examples.labels)
        score = lambda logits: {"accuracy": classification_metrics(examples.merge(logits), labels)["accuracy"]}  # noqa: E731
        return Metrics(["accuracy"], score)
