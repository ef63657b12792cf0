"""Scaled dot-product attention, and the moves between rows of tokens and heads."""

import math

from bertnp.backend import formula
from bertnp.functional.regularization import dropout, dropout_backward
from bertnp.functional.softmax_functions import masked_softmax, masked_softmax_backward


@formula
def attention(query, key, value, mask=None, keep=None, p=0.0):
    """Y = drop(P) V,  P = softmax(Q Kᵀ / √D) over the keys that the mask allows       Vaswani et al. 2017, eq. 1

    A query that may read no key gives zeros.

    query: (B, A, S, D)   key, value: (B, A, K, D)
    mask: truth values, broadcastable to (B, A, S, K), true where a key may be read; None: everywhere
    keep, p: which probabilities dropout keeps, (B, A, S, K), and its rate; keep None: no dropout
    ->  y: (B, A, S, D)   probabilities: (B, A, S, K), before dropout
    """
    scores = query @ key.swapaxes(-1, -2) * (1.0 / math.sqrt(query.shape[-1]))  # (B, A, S, K)
    probabilities = masked_softmax(scores, mask)
    return dropout(probabilities, keep, p) @ value, probabilities


@formula
def attention_backward(dy, query, key, value, probabilities, keep=None, p=0.0):
    """dV = drop(P)ᵀ dY,  dP = drop'(dY Vᵀ),  dS = softmax'(dP),  dQ = dS K / √D,  dK = dSᵀ Q / √D

    dy: (B, A, S, D), the rest as in `attention`  ->  dquery: (B, A, S, D)   dkey, dvalue: (B, A, K, D)
    """
    scale = 1.0 / math.sqrt(query.shape[-1])
    dvalue = dropout(probabilities, keep, p).swapaxes(-1, -2) @ dy  # (B, A, K, D)
    dprobabilities = dropout_backward(dy @ value.swapaxes(-1, -2), keep, p)  # (B, A, S, K)
    dscores = masked_softmax_backward(dprobabilities, probabilities) * scale
    return dscores @ key, dscores.swapaxes(-1, -2) @ query, dvalue


@formula
def split_heads(x, heads):
    """y[b, a, s, d] = x[b, s, a D + d]: cut the hidden vector into A pieces, one for each head

    x: (B, S, H)  ->  y: (B, A, S, D),  A = heads, D = H / A
    """
    B, S, H = x.shape
    return x.reshape(B, S, heads, H // heads).transpose(0, 2, 1, 3)


@formula
def split_heads_backward(dy):
    """dx[b, s, a D + d] = dy[b, a, s, d]

    dy: (B, A, S, D)  ->  dx: (B, S, H)
    """
    return merge_heads(dy)


@formula
def merge_heads(x):
    """y[b, s, a D + d] = x[b, a, s, d]: put the heads' pieces side by side again

    x: (B, A, S, D)  ->  y: (B, S, H),  H = A D
    """
    B, A, S, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)


@formula
def merge_heads_backward(dy, heads):
    """dx[b, a, s, d] = dy[b, s, a D + d]

    dy: (B, S, H)  ->  dx: (B, A, S, D)
    """
    return split_heads(dy, heads)
