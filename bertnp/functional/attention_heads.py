"""Scaled dot-product attention, and the moves between rows of tokens and heads."""

import math

import numpy as np

from bertnp.backend import as_array, formula, to_numpy
from bertnp.functional.lookup import gather_rows, scatter_rows
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

    Chapter 09, equation 9.3.
    """
    scores = query @ key.swapaxes(-1, -2) * (1.0 / math.sqrt(query.shape[-1]))  # (B, A, S, K)
    probabilities = masked_softmax(scores, mask)
    return dropout(probabilities, keep, p) @ value, probabilities


@formula
def attention_backward(dy, query, key, value, probabilities, keep=None, p=0.0):
    """dV = drop(P)ᵀ dY,  dP = drop'(dY Vᵀ),  dS = softmax'(dP),  dQ = dS K / √D,  dK = dSᵀ Q / √D

    dy: (B, A, S, D), the rest as in `attention`  ->  dquery: (B, A, S, D)   dkey, dvalue: (B, A, K, D)

    Chapter 09, equation 9.4.
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

    Chapter 10, equation 10.1.
    """
    B, S, H = x.shape
    return x.reshape(B, S, heads, H // heads).transpose(0, 2, 1, 3)


@formula
def split_heads_backward(dy):
    """dx[b, s, a D + d] = dy[b, a, s, d]

    dy: (B, A, S, D)  ->  dx: (B, S, H)

    Chapter 10, equation 10.2.
    """
    return merge_heads(dy)


@formula
def merge_heads(x):
    """y[b, s, a D + d] = x[b, a, s, d]: put the heads' pieces side by side again

    x: (B, A, S, D)  ->  y: (B, S, H),  H = A D

    Chapter 10, equation 10.3.
    """
    B, A, S, D = x.shape
    return x.transpose(0, 2, 1, 3).reshape(B, S, A * D)


@formula
def merge_heads_backward(dy, heads):
    """dx[b, a, s, d] = dy[b, s, a D + d]

    dy: (B, S, H)  ->  dx: (B, A, S, D)

    Chapter 10, equation 10.4.
    """
    return split_heads(dy, heads)


@formula
def mask_heads(x, head_mask):
    """y[t, a D + d] = ξ[t, a] x[t, a D + d]: what each head says, times a number     Michel et al. 2019, section 2.2

    ξ = 1 leaves a head as it is, ξ = 0 takes it out.

    x: (T, H)   head_mask ξ: (T, A), D = H / A  ->  y: (T, H)

    Chapter 10, equation 10.6.
    """
    return (x.reshape(*head_mask.shape, -1) * head_mask[..., None]).reshape(x.shape)


@formula
def mask_heads_backward(dy, x, head_mask):
    """dx[t, a D + d] = ξ[t, a] dy[t, a D + d],  dξ[t, a] = Σ_d dy[t, a D + d] x[t, a D + d]

    dy, x: (T, H)   head_mask: (T, A)  ->  dx: (T, H)   dhead_mask: (T, A)

    Chapter 10, equation 10.7.
    """
    return mask_heads(dy, head_mask), (dy * x).reshape(*head_mask.shape, -1).sum(axis=-1)


@formula
def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    """y = merge(attention(split(Q), split(K), split(V))), every sequence of a packed batch by itself

    Rows stand sequence after sequence: the first query_lengths[0] queries read the first lengths[0] keys and values.

    query: (R, H)   key, value: (T, H)   query_lengths, lengths: (B,) integers, R and T in all, Q and K at most
    mask: truth values (B, Q, K) or (B, 1, K), true where a key may be read; None: all of one's own sequence
    keep, p: which probabilities dropout keeps, (B, A, Q, K), and its rate; keep None: no dropout
    ->  y: (R, H)

    Chapter 11, equation 11.4.
    """
    query, key, value = in_front(query, query_lengths), in_front(key, lengths), in_front(value, lengths)
    parts = (split_heads(x, heads) for x in (query, key, value))  # (B, A, Q or K, D) each
    y, _ = attention(*parts, readable(lengths, mask, like=query), keep, p)
    return from_front(merge_heads(y), query_lengths)


@formula
def packed_attention_backward(
    dy, query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0, out=None
):
    """(dQ, dK, dV) = attention'(dY) in every sequence; the probabilities are computed again rather than kept

    dy: (R, H), the rest as in `packed_attention`   out: arrays to put the gradients in, or None
    ->  dquery: (R, H)   dkey, dvalue: (T, H)

    Chapter 11, equation 11.5.
    """
    rows = (query, query_lengths), (key, lengths), (value, lengths)
    parts = [split_heads(in_front(x, n), heads) for x, n in rows]  # (B, A, Q or K, D) each
    _, probabilities = attention(*parts, readable(lengths, mask, like=query))
    dy = merge_heads_backward(in_front(dy, query_lengths), heads)
    gradients = attention_backward(dy, *parts, probabilities, keep, p)
    gradients = [from_front(split_heads_backward(g), n) for g, (_, n) in zip(gradients, rows, strict=True)]
    if out is None:
        return tuple(gradients)
    for place, gradient in zip(out, gradients, strict=True):
        place[...] = gradient
    return out


def places_in_front(lengths):
    """Where the rows of packed sequences stand in (B, K): each sequence's at the front of its own."""
    lengths = to_numpy(lengths)
    return np.flatnonzero(np.arange(lengths.max()) < lengths[:, None])


def in_front(x, lengths):
    """(T, n) rows of packed sequences -> (B, K, n), zeros where a sequence is shorter than K"""
    B, K = len(lengths), int(to_numpy(lengths).max())
    if len(x) < B * K:
        x = scatter_rows(x, places_in_front(lengths), B * K)
    return x.reshape(B, K, -1)


def from_front(x, lengths):
    """(B, K, n) -> (T, n)"""
    B, K, n = x.shape
    x, places = x.reshape(B * K, n), places_in_front(lengths)
    return x if len(places) == B * K else gather_rows(x, places)


def readable(lengths, mask, like):
    """Which keys of (B, K) the queries may read: those of their own sequence that the mask allows; None: all."""
    lengths = to_numpy(lengths)
    if mask is None and (lengths == lengths.max()).all():
        return None
    inside = as_array(np.arange(lengths.max()) < lengths[:, None], like=like)[:, None, None]  # (B, 1, 1, K)
    return inside if mask is None else inside & as_array(mask, like=like)[:, None]
