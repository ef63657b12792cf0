"""Classes, with their probabilities, or numbers for texts."""

import numpy as np

import bertnp.functional as F
from bertnp.backend import to_numpy
from bertnp.data import batches_by_length, encode_texts
from bertnp.models.heads import BertForSequenceClassification
from bertnp.nn import inference
from bertnp.pipelines.checks import check_batch_size, check_vocabulary, longest_input, missing_weights, warn_of_cut
from bertnp.tokenization import BertTokenizer


class TextClassifier:
    """Predicts the class of each text (or pair), or the number, with a model that was fine-tuned for it.

        classify = TextClassifier.from_pretrained(folder)
        classify(["I love you.", "I hate you."])
        # [{"label": "positive", "score": 0.98, "scores": {"negative": 0.02, "positive": 0.98}}, ...]

    Scores are softmax(logits) for one class out of several; σ(logits) where several may hold at once, or where there
    is but one label; and the logits themselves where a number is predicted (problem_type "regression").

    model: BertForSequenceClassification   tokenizer: BertTokenizer   batch_size: texts put through the model together
    max_length: longer texts are cut to so many tokens, with a warning; None: what model and tokenizer allow
    stride: instead of being cut, long texts get windows that share so many tokens, and the mean of their logits
    """

    def __init__(self, model, tokenizer, max_length=None, batch_size=32, stride=None):
        check_batch_size(batch_size)
        self.model = model
        self.tokenizer = tokenizer
        check_vocabulary(model.config, tokenizer)
        self.max_length = longest_input(model.config, tokenizer, max_length)
        self.batch_size = batch_size
        self.stride = stride

    @classmethod
    def from_pretrained(cls, folder_or_name, *, max_length=None, batch_size=32, stride=None, **options):
        """A classifier from the folder of a fine-tuned model, or a published one's name.

        options: see `BertForSequenceClassification.from_pretrained`

        Raises ValueError where the files hold no trained classifier.
        """
        tokenizer = BertTokenizer.from_pretrained(folder_or_name)
        model = BertForSequenceClassification.from_pretrained(folder_or_name, **options)
        if not is_trained_classifier(model):
            raise ValueError(
                f"{folder_or_name} holds no trained classifier (there is no classifier.weight in it): fine-tune first"
            )
        return cls(model, tokenizer, max_length, batch_size, stride)

    @property
    def labels(self):
        """The names of the classes, in their order."""
        return [str(self.model.config.id2label[number]) for number in range(self.model.config.num_labels)]

    @property
    def kind(self):
        """What the model predicts: "regression", "multi_label_classification" or "single_label_classification"."""
        config = self.model.config
        if config.problem_type is not None:
            return config.problem_type
        return "multi_label_classification" if config.num_labels == 1 else "single_label_classification"

    def __call__(self, texts, pairs=None):
        """For each text, in their order: {"label", "score", "scores": {label: score}}; one text gives one of them.

        Of a model that predicts a number, "score" is that number.
        """
        if isinstance(texts, str):
            return self([texts], None if pairs is None else [pairs])[0]
        examples = self.encode(texts, pairs)
        if self.stride is None:
            warn_of_cut(examples, self.max_length)
        return self.classify(examples)

    def encode(self, texts, pairs=None):
        """The texts as token ids, cut or in windows."""
        return encode_texts(self.tokenizer, texts, pairs, None, self.max_length, self.stride)

    def classify(self, examples):
        """The same as a call for texts already encoded."""
        scores, labels = self.scores(examples), self.labels
        results = []
        for row in scores:
            best = int(row.argmax())
            named = {label: float(score) for label, score in zip(labels, row, strict=True)}
            results.append({"label": labels[best], "score": float(row[best]), "scores": named})
        return results

    def scores(self, examples):
        """The scores of texts already encoded, (n, C), in their order, on the host."""
        logits = np.zeros((len(examples), self.model.config.num_labels), self.model.host_dtype)
        with inference():
            for rows in batches_by_length(examples.lengths, self.batch_size):
                logits[rows] = to_numpy(self.model(**examples.batch(rows)).logits)
        logits = examples.merge(logits)
        if self.kind == "regression":
            return logits
        return F.softmax(logits) if self.kind == "single_label_classification" else F.sigmoid(logits)


def is_trained_classifier(model):
    """Whether the classifier's weights came from the files the model was loaded from."""
    return not missing_weights(model, "classifier.")
