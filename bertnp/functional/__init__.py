"""The formulas, forward and backward in pairs: arrays in, arrays out, no state.

A backward `f_backward` takes the gradient of f's first output and then inputs and outputs of f by their names (or a
size of one, where that is all it needs), and returns the gradients of f's inputs in their order. Any float type, any
backend.
"""

import importlib

from bertnp.functional.activations import (
    gelu,
    gelu_backward,
    gelu_fast,
    gelu_fast_backward,
    gelu_new,
    gelu_new_backward,
    normal_cdf,
    normal_pdf,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from bertnp.functional.attention_heads import (
    attention,
    attention_backward,
    mask_heads,
    mask_heads_backward,
    merge_heads,
    merge_heads_backward,
    packed_attention,
    packed_attention_backward,
    split_heads,
    split_heads_backward,
)
from bertnp.functional.encoder_steps import (
    gelu_feed_forward,
    gelu_feed_forward_backward,
    residual_norm,
    residual_norm_backward,
)
from bertnp.functional.linear_map import linear, linear_backward, product, product_backward
from bertnp.functional.lookup import (
    embedding,
    embedding_backward,
    gather_rows,
    gather_rows_backward,
    scatter_rows,
    scatter_rows_backward,
)
from bertnp.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    cross_entropy,
    cross_entropy_backward,
    mean_squared_error,
    mean_squared_error_backward,
    weighted_binary_cross_entropy,
    weighted_binary_cross_entropy_backward,
    weighted_cross_entropy,
    weighted_cross_entropy_backward,
)
from bertnp.functional.normalization import layer_norm, layer_norm_backward
from bertnp.functional.optimization import adamw, clip_scale
from bertnp.functional.positions import positional_encoding, positional_encoding_backward, sinusoids
from bertnp.functional.regularization import dropout, dropout_backward
from bertnp.functional.softmax_functions import (
    log_softmax,
    log_softmax_backward,
    masked_softmax,
    masked_softmax_backward,
    softmax,
    softmax_backward,
)

for _kernels in ("numpy_kernels", "cupy_kernels"):  # they register themselves, now that the formulas are there
    importlib.import_module(f"bertnp.backend.{_kernels}")

__all__ = [
    "adamw",
    "attention",
    "attention_backward",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "clip_scale",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "embedding",
    "embedding_backward",
    "gather_rows",
    "gather_rows_backward",
    "gelu",
    "gelu_backward",
    "gelu_fast",
    "gelu_fast_backward",
    "gelu_feed_forward",
    "gelu_feed_forward_backward",
    "gelu_new",
    "gelu_new_backward",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "mask_heads",
    "mask_heads_backward",
    "masked_softmax",
    "masked_softmax_backward",
    "mean_squared_error",
    "mean_squared_error_backward",
    "merge_heads",
    "merge_heads_backward",
    "normal_cdf",
    "normal_pdf",
    "packed_attention",
    "packed_attention_backward",
    "positional_encoding",
    "positional_encoding_backward",
    "product",
    "product_backward",
    "relu",
    "relu_backward",
    "residual_norm",
    "residual_norm_backward",
    "scatter_rows",
    "scatter_rows_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "sinusoids",
    "softmax",
    "softmax_backward",
    "split_heads",
    "split_heads_backward",
    "tanh",
    "tanh_backward",
    "weighted_binary_cross_entropy",
    "weighted_binary_cross_entropy_backward",
    "weighted_cross_entropy",
    "weighted_cross_entropy_backward",
]
