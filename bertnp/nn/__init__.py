"""Layers: a formula plus its weights and what its backward needs."""

from bertnp.nn.attention import CrossAttention, KeyValues, SelfAttention
from bertnp.nn.layers import Activation, Dropout, Embedding, LayerNorm, Linear
from bertnp.nn.losses import BinaryCrossEntropyLoss, CrossEntropyLoss, MeanSquaredErrorLoss
from bertnp.nn.module import Module, inference, is_inference, saving_nothing
from bertnp.nn.packing import DropoutStreams, Packing, Queries
from bertnp.nn.parameter import Parameter, ParameterBuffer, side_by_side

__all__ = [
    "Activation",
    "BinaryCrossEntropyLoss",
    "CrossAttention",
    "CrossEntropyLoss",
    "Dropout",
    "DropoutStreams",
    "Embedding",
    "KeyValues",
    "LayerNorm",
    "Linear",
    "MeanSquaredErrorLoss",
    "Module",
    "Packing",
    "Parameter",
    "ParameterBuffer",
    "Queries",
    "SelfAttention",
    "inference",
    "is_inference",
    "saving_nothing",
    "side_by_side",
]
