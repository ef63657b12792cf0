"""A tag for every word: names, parts of speech."""

from collections import Counter

import numpy as np

from bertnp.data import encode_words, read_tagged
from bertnp.data.tagged import OUTSIDE
from bertnp.models.heads import BertForTokenClassification
from bertnp.tasks.base import Metrics, Task
from bertnp.training.metrics import bootstrap_intervals, classification_metrics, confusion_matrix, entity_scores


class TokenTask(Task):
    """A tag for every word, of the scheme BIO or any other; the first piece of a word stands for it."""

    name = "token"
    head = BertForTokenClassification
    file = "CoNLL: a word and its tag on each line, a blank line after each sentence"
    windows = True

    def read(self, path, labelled=True):
        return read_tagged(path, labelled=labelled, **self.options)

    def own_names(self, sentences):
        names = sentences.tag_names()
        if sentences.is_bio:  # an entity may go on, or begin, where it never did in training
            kinds = sorted({name[2:] for name in names if name != OUTSIDE})
            return [OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BI")]
        if len(names) < 2:
            raise ValueError(f"{sentences.source}: every word has the tag {names[0]!r}; there is nothing to learn")
        return names

    def counts(self, sentences, names):
        found = Counter(tag for tags in sentences.tags for tag in tags)
        return {name: found[name] for name in names}

    def what(self, sentences):
        words = sum(map(len, sentences.words))
        return f"{len(sentences):,} sentences, {words:,} words"

    def check(self, sentences, names):
        sentences.classes(names)

    def encode(self, tokenizer, sentences, names, max_length, stride, labelled=True):
        labels = sentences.classes(names) if labelled else None
        return encode_words(tokenizer, sentences.words, labels, max_length, stride)

    def tags(self, examples, names, logits):
        """For each sentence the tags of its words; O (or the first tag) for a word that has no piece."""
        predicted = (np.nan_to_num(merged, nan=-np.inf).argmax(axis=-1) for merged in examples.merge(logits))
        return [[names[tag] for tag in tags] for tags in predicted]

    def metrics(self, sentences, examples, names):
        if not is_bio(names):
            score = lambda logits: self.word_scores(sentences, examples, names, logits)  # noqa: E731
            return Metrics(["accuracy", "f1_macro"], score)

        def score(logits):
            found = entity_scores(sentences.tags, self.tags(examples, names, logits))
            return {name: found[name] for name in ("f1", "precision", "recall")}

        return Metrics(["f1", "precision", "recall"], score)

    def word_scores(self, sentences, examples, names, logits, rows=None):
        """Scores over the words of these sentences; None: of all."""
        rows = range(len(sentences)) if rows is None else rows
        merged, classes = examples.merge(logits), sentences.classes(names)
        merged = np.nan_to_num(np.concatenate([merged[row] for row in rows]), nan=-np.inf)
        found = classification_metrics(merged, np.concatenate([classes[row] for row in rows]))
        return {name: found[name] for name in ("accuracy", "f1_macro")}

    def intervals(self, sentences, examples, names, logits, confidence):
        if is_bio(names):
            return entity_scores(sentences.tags, self.tags(examples, names, logits), confidence)["intervals"]
        score = lambda rows: self.word_scores(sentences, examples, names, logits, rows)  # noqa: E731
        return bootstrap_intervals(score, len(sentences), confidence, resamples=200)

    def extras(self, sentences, examples, names, logits):
        if not is_bio(names):
            return {}
        return {"per_type": entity_scores(sentences.tags, self.tags(examples, names, logits))["per_type"]}

    def picture(self, sentences, examples, names, logits):
        places = {name: place for place, name in enumerate(names)}
        predicted = [places[tag] for tags in self.tags(examples, names, logits) for tag in tags]
        matrix = confusion_matrix(np.concatenate(sentences.classes(names)), np.array(predicted), len(names))
        return "confusion_matrix", (matrix, names)


def is_bio(names):
    """Whether tags name entities."""
    return any(name.startswith(("B-", "I-")) for name in names)
