"""Small layers and models, one of each kind, with inputs on which mistakes show.

Every size differs from the others. Three sequences, one of them shorter than the others and one nothing but padding;
ids that repeat and ids that never occur; dropout at a quarter, from streams that give the same masks each time.
"""

import numpy as np

import bertnp.nn as nn
from bertnp.backend import to
from bertnp.gradcheck.cases import on_device
from bertnp.models import bert, heads, transformer
from bertnp.models.configuration import BertConfig
from bertnp.models.transformer_configuration import TransformerConfig

B, S, H, A, I, V, C = 3, 5, 6, 2, 11, 13, 4
P = 0.25

SIZES = {
    "vocab_size": V,
    "hidden_size": H,
    "num_hidden_layers": 2,
    "num_attention_heads": A,
    "intermediate_size": I,
    "max_position_embeddings": 7,
    "type_vocab_size": 2,
    "hidden_dropout_prob": P,
    "attention_probs_dropout_prob": P,
}


def small_config(**changes):
    return BertConfig(**{**SIZES, **changes})


def small_packing(keep_all=False):
    """Rows of 5 and 2 tokens, and one of padding alone: its first position stays, and may read no key."""
    keep = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]], bool)
    keys = keep.copy()
    keys[2, 0] = False
    return nn.Packing(np.ones_like(keep) if keep_all else keep, keys, nn.DropoutStreams(seed=5))


def transformer_config(**changes):
    sizes = {name: SIZES[name] for name in TransformerConfig.keys() if name in SIZES}
    return TransformerConfig(**{**sizes, "num_hidden_layers": 1, **changes})


def small_target():
    """The sequences that read those of `small_packing`: 3, 4 and 1 tokens, no token reading what comes after it."""
    keep = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    return nn.Packing(keep, keep, nn.DropoutStreams(seed=6), causal=True)


def _reading(layer):
    """A layer with cross-attention: what it reads by, and what it reads, which gets a gradient, too."""

    def make(rng, rows):
        target = small_target()
        return layer(), (rng.normal(size=(target.T, H)), rows(H), target, small_packing())

    return make


def _activation(function):
    def make(rng, rows):
        return nn.Activation(function), (rows(I),)

    return make


def _embeddings(rng, rows, looked_up):
    packing = small_packing()
    T = packing.T
    ids = np.array([2, 5, 5, 9, 5, 2, 12, 0])
    table, positions = rng.integers(0, 2, T), packing.rows % S
    return bert.BertEmbeddings(small_config()), (ids if looked_up else None, None if looked_up else rows(H), table,
                                                 positions, packing)  # fmt: skip


def _loss(criterion, targets):
    return lambda rng, rows: (criterion, (rng.normal(size=(B * S, C)), targets(rng)))


def _prediction_head(rng, rows):
    config = small_config()
    return heads.BertLMPredictionHead(config, nn.Embedding(V, H, config.pad_token_id)), (rows(H),)


def _labels(rng):
    labels = np.full(B * S, -100)
    labels[[1, 4, 6, 13]] = [3, 0, 2, 1]
    return labels


# name -> function of a random stream and of a drawer of rows (T, n) that makes the layer and its inputs
LAYERS = {
    "Linear": lambda rng, rows: (nn.Linear(H, I), (rows(H),)),
    "LayerNorm": lambda rng, rows: (nn.LayerNorm(H), (rows(H) * 2.0 + 0.7,)),
    "Embedding": lambda rng, rows: (nn.Embedding(V, H), (np.array([[2, 5, 5, 9], [5, 2, 12, 0]]),)),
    "Embedding with a padding row": lambda rng, rows: (nn.Embedding(V, H, 0), (np.array([2, 5, 5, 9, 5, 0, 0]),)),
    "Dropout": lambda rng, rows: (nn.Dropout(P), (rows(H), small_packing().draw_tokens(H))),
    **{f"Activation {name}": _activation(name) for name in ("linear", *nn.Activation.known())},
    "SelfAttention": lambda rng, rows: (nn.SelfAttention(H, A, P), (rows(H), small_packing())),
    "CrossEntropyLoss": _loss(nn.CrossEntropyLoss(label_smoothing=0.1), _labels),
    "BinaryCrossEntropyLoss": _loss(nn.BinaryCrossEntropyLoss(), lambda rng: rng.random((B * S, C))),
    "MeanSquaredErrorLoss": _loss(nn.MeanSquaredErrorLoss(), lambda rng: rng.normal(size=(B * S, C))),
    "BertEmbeddings": lambda rng, rows: _embeddings(rng, rows, looked_up=True),
    "BertEmbeddings from vectors": lambda rng, rows: _embeddings(rng, rows, looked_up=False),
    "BertResidualOutput": lambda rng, rows: (
        bert.BertResidualOutput(I, small_config()), (rows(I), rows(H), small_packing())),
    "BertAttention": lambda rng, rows: (bert.BertAttention(small_config()), (rows(H), small_packing(), False)),
    "BertIntermediate": lambda rng, rows: (bert.BertIntermediate(small_config()), (rows(H),)),
    "BertLayer": lambda rng, rows: (bert.BertLayer(small_config()), (rows(H), small_packing())),
    "BertEncoder": lambda rng, rows: (bert.BertEncoder(small_config()), (rows(H), small_packing())),
    "BertPooler": lambda rng, rows: (bert.BertPooler(small_config()), (rows(H), small_packing())),
    "CrossAttention": _reading(lambda: nn.CrossAttention(H, A, P)),
    "TransformerEmbeddings": lambda rng, rows: (
        transformer.TransformerEmbeddings(transformer_config(), V),
        (np.array([2, 5, 5, 9, 5, 2, 12, 0]), small_packing().rows % S, small_packing())),
    "ResidualOutput, pre-norm": lambda rng, rows: (
        transformer.ResidualOutput(I, transformer_config(norm_first=True)), (rows(I), rows(H), small_packing())),
    "TransformerEncoderLayer": lambda rng, rows: (
        transformer.TransformerEncoderLayer(transformer_config()), (rows(H), small_packing())),
    "TransformerEncoderLayer, pre-norm": lambda rng, rows: (
        transformer.TransformerEncoderLayer(transformer_config(norm_first=True)), (rows(H), small_packing())),
    "TransformerDecoderLayer": _reading(lambda: transformer.TransformerDecoderLayer(transformer_config())),
    "TransformerDecoderLayer, pre-norm": _reading(
        lambda: transformer.TransformerDecoderLayer(transformer_config(norm_first=True))),
    "OutputEmbeddings": lambda rng, rows: (
        transformer.OutputEmbeddings(transformer_config(), nn.Embedding(V, H)), (rows(H),)),
    "BertPredictionHeadTransform": lambda rng, rows: (heads.BertPredictionHeadTransform(small_config()), (rows(H),)),
    "BertLMPredictionHead": _prediction_head,
}  # fmt: skip


def layer_case(name, seed=0, device=None, dtype=np.float64):
    """A layer, allocated, and the inputs of its forward. Raises ValueError for a name that is none of LAYERS."""
    if name not in LAYERS:
        raise ValueError(f"there is no layer {name!r}; known: {', '.join(LAYERS)}")
    rng = np.random.default_rng([seed, *name.encode()])
    layer, inputs = LAYERS[name](rng, lambda n: rng.normal(size=(small_packing().T, n)))
    for site, dropout in enumerate(m for _, m in layer.named_modules() if isinstance(m, nn.Dropout)):
        dropout.site = site
    layer.initialize(seed, dtype, device)
    return layer, tuple(on_device(dict(enumerate(inputs)), device or "numpy", dtype).values())


def _batch(rng):
    ids = rng.integers(1, V - 2, (B, S))
    ids[0, :3] = ids[0, 0]  # a word that stands there three times
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": rng.integers(0, 2, (B, S))}


def _word_labels(rng):
    labels = np.full((B, S), -100)
    labels[0, 1], labels[0, 3], labels[1, 2], labels[1, 4] = 7, 0, 3, 12
    return labels


def _choices(rng):
    first, second = _batch(rng), _batch(rng)
    return {name: np.stack([first[name], second[name]], axis=1) for name in first}


def _translation(rng):
    """Sources as `_batch` has them, with targets of 4, 1 and 3 words."""
    labels = rng.integers(1, V - 4, (B, 4))
    labels[1, 1:] = labels[2, 3:] = -100
    return {"labels": labels}


# name -> class, what its configuration has besides, and what its batch has besides (a function of a random stream)
MODELS = {
    "BertModel": (bert.BertModel, {}, lambda rng: {}),
    "BertModel from vectors": (bert.BertModel, {}, lambda rng: {"inputs_embeds": rng.normal(size=(B, S, H))}),
    "BertModel, any mask": (bert.BertModel, {}, lambda rng: {"attention_mask": _any_mask(rng)}),
    "BertForPreTraining": (
        heads.BertForPreTraining, {},
        lambda rng: {"labels": _word_labels(rng), "next_sentence_label": np.array([0, 1, 0])}),
    "BertForPreTraining, untied": (
        heads.BertForPreTraining, {"tie_word_embeddings": False},
        lambda rng: {"labels": _word_labels(rng), "next_sentence_label": np.array([0, 1, 0])}),
    "BertForMaskedLM": (heads.BertForMaskedLM, {}, lambda rng: {"labels": _word_labels(rng)}),
    "BertForNextSentencePrediction": (
        heads.BertForNextSentencePrediction, {}, lambda rng: {"labels": np.array([0, 1, 0])}),
    "BertForSequenceClassification": (
        heads.BertForSequenceClassification, {"num_labels": C}, lambda rng: {"labels": np.array([3, 0, 1])}),
    "BertForSequenceClassification, several": (
        heads.BertForSequenceClassification, {"num_labels": C, "problem_type": "multi_label_classification"},
        lambda rng: {"labels": rng.integers(0, 2, (B, C)) * 1.0}),
    "BertForSequenceClassification, numbers": (
        heads.BertForSequenceClassification, {"num_labels": 1}, lambda rng: {"labels": rng.normal(size=B)}),
    "BertForTokenClassification": (
        heads.BertForTokenClassification, {"num_labels": C},
        lambda rng: {"labels": np.where(rng.random((B, S)) < 0.5, rng.integers(0, C, (B, S)), -100)}),
    "BertForQuestionAnswering": (
        heads.BertForQuestionAnswering, {},
        lambda rng: {"start_positions": np.array([0, 2, 1]), "end_positions": np.array([4, 2, S])}),
    "Transformer": (transformer.Transformer, {}, _translation),
    "Transformer, pre-norm": (transformer.Transformer, {"norm_first": True}, _translation),
    "Transformer, separate tables": (
        transformer.Transformer, {"target_vocab_size": V - 3, "tie_word_embeddings": False, "num_decoder_layers": 2},
        _translation),
    "Transformer from logits": (
        transformer.Transformer, {},
        lambda rng: {"decoder_input_ids": rng.integers(1, V, (B, 4)),
                     "decoder_attention_mask": np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])}),
    "BertForMultipleChoice": (heads.BertForMultipleChoice, {}, lambda rng: {"labels": np.array([1, 0, 1])}),
}  # fmt: skip


def _any_mask(rng):
    """(B, S, S): which query may read which key, one of them none."""
    mask = (rng.random((B, S, S)) < 0.6).astype(int)
    mask[:, :, 0] = 1
    mask[1, 2] = 0
    return mask


def model_case(name, seed=0, device=None, dtype=np.float64):
    """A model and its batch. Raises ValueError for a name that is none of MODELS."""
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}; known: {', '.join(MODELS)}")
    kind, changes, besides = MODELS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    batch = _choices(rng) if kind is heads.BertForMultipleChoice else _batch(rng)
    batch |= besides(rng)
    if "inputs_embeds" in batch:
        del batch["input_ids"]
        batch["inputs_embeds"] = to(batch["inputs_embeds"].astype(dtype), device)
    if kind is transformer.Transformer:
        del batch["token_type_ids"]
        return kind(transformer_config(**changes), seed=seed, dtype=dtype, device=device), batch
    return kind(small_config(**changes), seed=seed, dtype=dtype, device=device), batch
