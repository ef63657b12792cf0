"""Forwards whose backwards are exercises: small compositions that the library has no formula of its own for.

from bertnp.learn.given import encoder_layer
"""

import numpy as np

import bertnp.functional as F


def tanh_times(x, w):
    """y = tanh(x) w, element by element; x, w: same shape"""
    return np.tanh(x) * w


def shares(x):
    """y_j = x_j / Σ_k x_k; x: (..., n) positive  ->  y: (..., n), rows that add up to 1"""
    return x / x.sum(axis=-1, keepdims=True)


def papers_linear(x, weight):
    """y = x W, as in the papers; x: (..., n)   weight: (n, m)  ->  y: (..., m)"""
    return x @ weight


def times(x, w):
    """y = x w, w spread over x by the rules of broadcasting; x: (B, S, H)   w: (H,) or (S, 1)  ->  y: (B, S, H)"""
    return x * w


def compare(query, key):
    """S = Q Kᵀ, each query with each key; query: (S, D)   key: (K, D)  ->  (S, K)"""
    return query @ key.T


def pre_norm(x, norm_weight, norm_bias, weight, bias):
    """y = x + (n Wᵀ + b),  n = LayerNorm(x): the norm stands in the branch, the way straight through is bare

    x: (..., H)   norm_weight γ, norm_bias β, bias: (H,)   weight: (H, H)  ->  y: (..., H)
    """
    normalised, _, _ = F.layer_norm(x, norm_weight, norm_bias)
    return x + F.linear(normalised, weight, bias)


def three_maps_attention(x, W_Q, b_Q, W_K, b_K, W_V, b_V, heads):
    """Y = merge(attention(split(x W_Qᵀ + b_Q), split(x W_Kᵀ + b_K), split(x W_Vᵀ + b_V)))     equation 10.5

    x: (B, S, H)   W_Q, W_K, W_V: (H, H)   b_Q, b_K, b_V: (H,)  ->  Y: (B, S, H)
    Q, K, V: (B, A, S, D), of the heads   P: (B, A, S, S), the shares
    """
    parts = (F.linear(x, W, b) for W, b in ((W_Q, b_Q), (W_K, b_K), (W_V, b_V)))
    Q, K, V = (F.split_heads(part, heads) for part in parts)
    Y, P = F.attention(Q, K, V)
    return F.merge_heads(Y), Q, K, V, P


def encoder_layer(x, mask, W, heads):
    """A layer of BERT without dropout, equation 11.1, and what its backward needs.

    x: (B, S, H)   mask: truth values (B, 1, 1, S), true where a key may be read
    W: the weights by name: W_QKV (3H, H), b_QKV (3H,), W_O (H, H), b_O, gamma1, beta1, W_1 (I, H), b_1 (I,),
        W_2 (H, I), b_2, gamma2, beta2 (H,)
    ->  y: (B, S, H)   kept: x, Q, K, V, P, c, x_hat1, inv_std1, h, u, x_hat2, inv_std2, in this order:
        Q, K, V (B, A, S, D) and the shares P (B, A, S, S); c (B, S, H), the heads' outputs merged; x_hat1 and inv_std1
        of the first norm, whose output is h; u (B, S, I), what goes into GELU; x_hat2 and inv_std2 of the second norm
    """
    Q, K, V = (F.split_heads(part, heads) for part in np.split(F.linear(x, W["W_QKV"], W["b_QKV"]), 3, axis=-1))
    Y, P = F.attention(Q, K, V, mask)
    c = F.merge_heads(Y)
    h, *norm1 = F.residual_norm(F.product(c, W["W_O"]), W["b_O"], x, W["gamma1"], W["beta1"])
    branch, u = F.gelu_feed_forward(h, W["W_1"], W["b_1"], W["W_2"])
    y, *norm2 = F.residual_norm(branch, W["b_2"], h, W["gamma2"], W["beta2"])
    return y, (x, Q, K, V, P, c, *norm1, h, u, *norm2)


def classifier(h, W_P, b_P, W_C, b_C):
    """logits = tanh(h₀ W_Pᵀ + b_P) W_Cᵀ + b_C, h₀ the vector of each first token: what fine-tuning puts on BERT

    h: (B, S, H)   W_P: (H, H)   b_P: (H,)   W_C: (C, H)   b_C: (C,)  ->  logits: (B, C)   pooled: (B, H)
    """
    pooled = np.tanh(F.linear(h[:, 0], W_P, b_P))
    return F.linear(pooled, W_C, b_C), pooled
