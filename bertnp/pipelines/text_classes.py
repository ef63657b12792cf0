"""Classes for texts, in the manner of transformers: with the labels a model knows, or with any."""

import numpy as np

from bertnp.data import EncodedTexts, encode_texts
from bertnp.functional import sigmoid, softmax
from bertnp.models.heads import BertForSequenceClassification
from bertnp.pipelines.base import Pipeline, each_text
from bertnp.pipelines.checks import warn_of_cut
from bertnp.pipelines.classification import TextClassifier

ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid, "none": lambda logits: logits}
USUAL = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}  # by what the model predicts


class SequenceClassificationPipeline(Pipeline):
    """What the pipelines share whose model gives each text, or pair, a row of C logits."""

    model_class = BertForSequenceClassification
    head = "classifier"
    head_weights = ("classifier.",)

    def logits(self, examples):
        """(n, C), on the host"""
        rows = self.outputs(examples, lambda out: out.logits)
        return np.stack(rows) if rows else np.zeros((0, self.model.config.num_labels), self.model.host_dtype)


class TextClassificationPipeline(SequenceClassificationPipeline):
    """The classes of texts, or the number a model predicts.

        classify = bertnp.pipeline("text-classification", model=folder)
        classify("I love you.")                 # [{"label": "positive", "score": 0.98}]
        classify(["I love you.", "Oh."])        # [{"label": "positive", "score": 0.98}, {"label": ..., "score": ...}]
        classify("I love you.", top_k=None)     # [{"label": "positive", ...}, {"label": "negative", ...}]
    """

    def predict(self, inputs, top_k="best", function_to_apply=None, stride=None):
        """For each text {"label", "score"}, or a list of top_k such, the most probable first.

        inputs: a text, or a dictionary with "text" and "text_pair"; or a list of such. One text gives a list, of one
            dictionary or of top_k, and one dictionary gives one, as in transformers.
        top_k: how many labels; None: all; "best": the best, not in a list of its own
        function_to_apply: from logits to scores: "softmax", "sigmoid" or "none"; None: what suits the model
        stride: for long texts, instead of cutting them (with a warning): the mean logits of windows that share so
            many tokens
        """
        alone = isinstance(inputs, (str, dict))
        texts, pairs = texts_and_pairs([inputs] if alone else inputs)
        if top_k not in ("best", None) and top_k < 1:
            raise ValueError(f"top_k: expected at least 1, got {top_k}")
        names = TextClassifier(self.model, self.tokenizer)
        function = USUAL[names.kind] if function_to_apply is None else function_to_apply
        if function not in ACTIVATIONS:
            raise ValueError(f"function_to_apply: expected {', '.join(ACTIVATIONS)}, got {function_to_apply!r}")
        examples = encode_texts(self.tokenizer, texts, pairs, max_length=self.max_length, stride=stride)
        if stride is None:
            warn_of_cut(examples, self.max_length)
        scores = ACTIVATIONS[function](examples.merge(self.logits(examples)))  # (n, C)
        results = []
        for row in scores:
            order = np.argsort(-row, kind="stable")
            ranked = [{"label": names.labels[i], "score": float(row[i])} for i in order]
            results.append(ranked[0] if top_k == "best" else ranked[:top_k])
        if alone and not (isinstance(inputs, str) and top_k == "best"):
            return results[0]
        return results


def texts_and_pairs(inputs):
    """From texts, or dictionaries with "text" and "text_pair", to texts and second texts (None if there are none)."""
    texts, pairs = [], []
    for number, given in enumerate(inputs, 1):
        record = {"text": given} if isinstance(given, str) else given
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise TypeError(f'input {number}: expected a text, or a dictionary with "text" and "text_pair", got '
                            f"{type(given).__name__}")  # fmt: skip
        texts.append(record["text"])
        pairs.append(record.get("text_pair"))
    if all(pair is None for pair in pairs):
        return texts, None
    if any(pair is None for pair in pairs):
        raise ValueError(f"input {pairs.index(None) + 1} is a single text, but others are pairs")
    return texts, pairs


class ZeroShotClassificationPipeline(SequenceClassificationPipeline):
    """Classes that are only named when asked for, by a model that was trained to tell what a text entails.

        classify = bertnp.pipeline("zero-shot-classification", model=folder)
        classify("The battery died after an hour.", candidate_labels=["phones", "cooking"])
        # {"sequence": "The battery ...", "labels": ["phones", "cooking"], "scores": [0.93, 0.07]}

    Each label is put into a sentence of its own, and the model says whether the text entails it (Yin et al. 2019).
    """

    def predict(self, sequences, candidate_labels=None, hypothesis_template="This example is {}.", multi_label=False):
        """For a text {"sequence", "labels", "scores"}, the most probable label first; for a list of texts a list.

        scores: softmax of the logits of entailment over the labels, which add up to 1; with multi_label, or with one
            label, for each its own softmax of entailment against contradiction
        candidate_labels: a list, or one text with commas between   hypothesis_template: {} stands for the label
        """
        texts, alone = each_text(sequences)
        if isinstance(candidate_labels, str):
            candidate_labels = [label.strip() for label in candidate_labels.split(",") if label.strip()]
        labels = list(candidate_labels or ())
        if not labels:
            raise ValueError("candidate_labels: expected at least one")
        if "{}" not in hypothesis_template:
            raise ValueError(f"hypothesis_template: expected {{}} where the label goes, got {hypothesis_template!r}")
        hypotheses = [hypothesis_template.format(label) for label in labels]
        logits = self.logits(self.encode(texts, hypotheses)).reshape(len(texts), len(labels), -1)
        entailment = self.entailment
        if multi_label or len(labels) == 1:
            contradiction = -1 if entailment == 0 else 0
            scores = softmax(logits[..., [contradiction, entailment]])[..., 1]  # (n, labels)
        else:
            scores = softmax(logits[..., entailment])
        results = []
        for text, row in zip(texts, scores, strict=True):
            order = row.argsort()[::-1]
            ranked = {"labels": [labels[i] for i in order], "scores": row[order].tolist()}
            results.append({"sequence": text} | ranked)
        return results[0] if alone else results

    @property
    def entailment(self):
        """The class that means that the first text entails the second. ValueError if none is called so."""
        names = self.model.config.id2label
        found = [number for number, name in names.items() if str(name).lower().startswith("entail")]
        if not found:
            known = ", ".join(map(str, names.values()))
            raise ValueError(f"the model has no class called entailment (it has {known}): it was not trained to tell "
                             "what a text entails")  # fmt: skip
        return int(found[0])

    def encode(self, texts, hypotheses):
        """Every text with every hypothesis; of what is too long the text is cut, not the hypothesis."""
        first = [text for text in texts for _ in hypotheses]
        encoding = self.tokenizer(first, hypotheses * len(texts), truncation="only_first", max_length=self.max_length)
        examples = EncodedTexts(encoding["input_ids"], encoding["token_type_ids"], None, self.tokenizer.pad_token_id)
        warn_of_cut(examples, self.max_length)
        return examples
