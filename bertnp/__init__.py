"""bertnp: BERT written out by hand in NumPy and CuPy, every backward pass included.

    tokenizer = bertnp.BertTokenizer.from_pretrained(folder)
    model = bertnp.BertForSequenceClassification.from_pretrained(folder)
    out = model(**tokenizer("I love you.", return_tensors="np"), labels=[1])
    model.backward()
"""

import importlib

from bertnp import blas

__version__ = "0.1.0"

blas.before_numpy()

_HOME = {
    "BertConfig": "models.configuration",
    "BertModel": "models.bert",
    "BertForPreTraining": "models.heads",
    "BertForMaskedLM": "models.heads",
    "BertForNextSentencePrediction": "models.heads",
    "BertForSequenceClassification": "models.heads",
    "BertForTokenClassification": "models.heads",
    "BertForQuestionAnswering": "models.heads",
    "BertForMultipleChoice": "models.heads",
    "Transformer": "models.transformer",
    "TransformerConfig": "models.transformer_configuration",
    "BertTokenizer": "tokenization",
    "Adam": "optim",
    "AdamW": "optim",
    "clip_grad_norm": "optim",
    "Trainer": "training",
    "SentenceEncoder": "pipelines",
    "pipeline": "pipelines",
    "inference": "nn",
    "head_mask": "models.head_masks",
    "plain_formulas": "backend",
    "to": "backend",
    "to_numpy": "backend",
    "use": "backend",
}

_PACKAGES = ("gradcheck",)  # bertnp.gradcheck.check(…) without importing the package first

__all__ = [*_HOME, *_PACKAGES, "__version__"]


def __getattr__(name):
    """Load a public name when it is first used, so that `import bertnp` is quick."""
    if name in _PACKAGES:
        return importlib.import_module(f"bertnp.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'bertnp' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bertnp.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_HOME, *_PACKAGES})
