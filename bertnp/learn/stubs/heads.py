"""Chapters 09 to 11: what attention may be told about places, and what its parts make together."""


def causal_mask(length):
    """Who may read whom where nobody may see what is still to come: true at (s, k) if k ≤ s

    ->  (length, length) truth values: a row for each query, a column for each key
    """


def relative_bias(scores, table):
    """y[a, s, k] = scores[a, s, k] + table[clip(k - s, -R, R) + R, a]: how far a key stands, and on which side, counts

    Every head has a number for each distance from -R to R; beyond, the outermost one holds. After Raffel et al. 2020,
    section 2.1, whose distances share numbers in wider and wider groups.

    scores: (B, A, S, K)   table: (2R + 1, A)  ->  y: (B, A, S, K)
    """


def relative_bias_backward(dy, table):
    """dy: (B, A, S, K)   table: (2R + 1, A)  ->  dscores: (B, A, S, K)   dtable: (2R + 1, A)"""


def rotate(x, positions):
    """Each pair (x_i, x_{i + D/2}) turned by the angle t θ_i, t its position,  θ_i = 10000^(-2i/D)       Su et al. 2021

    y_i = x_i cos(t θ_i) - x_{i + D/2} sin(t θ_i),   y_{i + D/2} = x_{i + D/2} cos(t θ_i) + x_i sin(t θ_i)

    for i from 0 to D/2 - 1. A product of two vectors so turned depends on the distance of their positions alone.

    x: (..., S, D), D even   positions t: (S,) integers  ->  y: (..., S, D)
    """


def rotate_backward(dy, positions):
    """dy: (..., S, D)   positions: (S,)  ->  dx: (..., S, D)"""


def three_maps_attention_backward(dY, x, Q, K, V, P, W_Q, W_K, W_V, heads):
    """The backward of `three_maps_attention` of bertnp.learn.given, multi-head attention with three linear maps

    dY, x: (B, S, H)   Q, K, V: (B, A, S, D)   P: (B, A, S, S)   W_Q, W_K, W_V: (H, H)   heads: A
    ->  dx: (B, S, H)   dW_Q: (H, H)   db_Q: (H,)   dW_K   db_K   dW_V   db_V
    """


def encoder_layer_backward(dy, kept, W, heads):
    """The backward of `encoder_layer` of bertnp.learn.given                                               equation 11.2

    dy: (B, S, H)   kept, W, heads: as there  ->  dx: (B, S, H)   G: {name of a weight: its gradient}
    """


def keeps_padding_out(encode, rng):
    """True if what `encode` makes of the real tokens depends on nothing but them, False if padding leaks into it

    encode(ids, mask) -> (B, S, H), a vector for each token, as of a small BERT with words and positions
    ids: (B, S) integers from 0 to 19, S at most 12   mask: (B, S), 1 for a real token, 0 for padding behind the text
    rng: numpy.random.RandomState  ->  bool
    """
