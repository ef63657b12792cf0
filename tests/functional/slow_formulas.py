"""Every formula once more, slowly: loops over single numbers with the functions of Python's math.

Written from the definitions, not from the library's code, to have something to compare it with.
"""

import math

import numpy as np
from formula_cases import as_tuple
from gradients import assert_close


def assert_definition(case, body=None):
    """The formula of a case (or another body in its place) gives what its slow form gives. Raises AssertionError."""
    expected = as_tuple(globals()[case.formula](**case.arguments))
    outputs = case.outputs(case.call(case.arguments, body))
    for (name, value), reference in zip(outputs.items(), expected, strict=True):
        assert_close(value, reference, 1e-14, f"{case}, {name}")


def _elementwise(f):
    return lambda x: np.vectorize(f, otypes=[float])(x)


def _by_rows(f):
    """A function of one row (a list of numbers), on the last axis of an array."""

    def apply(x, *others):
        rows = x.reshape(-1, x.shape[-1])
        others = [np.broadcast_to(o, x.shape).reshape(rows.shape) for o in others]
        return np.array([f(list(r), *[list(o[i]) for o in others]) for i, r in enumerate(rows)]).reshape(x.shape)

    return apply


def linear(x, weight, bias):
    y = np.empty((*x.shape[:-1], len(bias)))
    for place in np.ndindex(y.shape):
        row, column = place[:-1], place[-1]
        y[place] = math.fsum([x[row][j] * weight[column][j] for j in range(x.shape[-1])] + [bias[column]])
    return y


def product(x, weight):
    return linear(x, weight, np.zeros(len(weight)))


gelu = _elementwise(lambda x: x * 0.5 * math.erfc(-x / 2**0.5))
gelu_new = _elementwise(lambda x: 0.5 * x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))))
gelu_fast = _elementwise(lambda x: 0.5 * x * (1 + math.tanh(0.7978845608 * x * (1 + 0.044715 * x * x))))
relu = _elementwise(lambda x: max(x, 0.0))
tanh = _elementwise(math.tanh)
sigmoid = _elementwise(lambda x: 1 / (1 + math.exp(-x)))
silu = _elementwise(lambda x: x / (1 + math.exp(-x)))


def _softmax_row(x, mask=None):
    # each quotient by its own differences: 1 / Σ_k exp(x_k - x_j), where exp may only underflow for the largest x
    mask = mask or [True] * len(x)
    allowed = [v for v, m in zip(x, mask, strict=True) if m]
    return [_inverse_sum(v, allowed) if m else 0.0 for v, m in zip(x, mask, strict=True)]


def _inverse_sum(x, row):
    if max(row) - x > 700:
        return 0.0
    return 1 / math.fsum(math.exp(v - x) for v in row)


def _log_softmax_row(x):
    largest = max(x)
    total = math.fsum(math.exp(v - largest) for v in x)
    return [v - largest - math.log(total) for v in x]


softmax = _by_rows(_softmax_row)
log_softmax = _by_rows(_log_softmax_row)


def masked_softmax(x, mask=None):
    return softmax(x) if mask is None else _by_rows(_softmax_row)(x, mask)


def attention(query, key, value, mask=None, keep=None, p=0.0):
    B, A, S, D = query.shape
    K = key.shape[2]
    mask = np.broadcast_to(True if mask is None else mask, (B, A, S, K))
    y, probabilities = np.zeros((B, A, S, D)), np.zeros((B, A, S, K))
    for b, a, s in np.ndindex(B, A, S):
        readable = [k for k in range(K) if mask[b, a, s, k]]
        if not readable:
            continue
        scores = [math.fsum(query[b, a, s] * key[b, a, k]) / D**0.5 for k in readable]
        for k, probability in zip(readable, _softmax_row(scores), strict=True):
            probabilities[b, a, s, k] = probability
            if keep is None:
                y[b, a, s] += probability * value[b, a, k]
            elif keep[b, a, s, k]:
                y[b, a, s] += probability / (1 - p) * value[b, a, k]
    return y, probabilities


def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    y = []
    for b, (Q, K) in enumerate(zip(query_lengths, lengths, strict=True)):
        q = split_heads(query[sum(query_lengths[:b]) :][:Q][None], heads)
        k, v = (split_heads(x[sum(lengths[:b]) :][:K][None], heads) for x in (key, value))
        of_queries = None if mask is None else np.broadcast_to(mask[b], (max(query_lengths), max(lengths)))[:Q, :K]
        own_keep = None if keep is None else keep[b : b + 1, :, :Q, :K]
        y.append(merge_heads(attention(q, k, v, of_queries, own_keep, p)[0])[0])
    return np.concatenate(y)


def split_heads(x, heads):
    B, S, H = x.shape
    D = H // heads
    return np.array(
        [[[[x[b, s, a * D + d] for d in range(D)] for s in range(S)] for a in range(heads)] for b in range(B)]
    )


def merge_heads(x):
    B, A, S, D = x.shape
    return np.array([[[x[b, a, s, d] for a in range(A) for d in range(D)] for s in range(S)] for b in range(B)])


def mask_heads(x, head_mask):
    D = x.shape[1] // head_mask.shape[1]
    return np.array([[x[t, j] * head_mask[t, j // D] for j in range(x.shape[1])] for t in range(len(x))])


def layer_norm(x, weight, bias, eps=1e-12):
    y, x_hat, inv_std = np.empty(x.shape), np.empty(x.shape), np.empty((*x.shape[:-1], 1))
    for place in np.ndindex(x.shape[:-1]):
        row = list(x[place])
        mean = math.fsum(row) / len(row)
        variance = math.fsum((v - mean) ** 2 for v in row) / len(row)
        inv_std[place] = 1 / math.sqrt(variance + eps)
        x_hat[place] = [(v - mean) / math.sqrt(variance + eps) for v in row]
        y[place] = [g * v + b for g, v, b in zip(weight, x_hat[place], bias, strict=True)]
    return y, x_hat, inv_std


def gelu_feed_forward(x, weight1, bias1, weight2):
    u = linear(x, weight1, bias1)
    return product(gelu(u), weight2), u


def residual_norm(x, bias, residual, norm_weight, norm_bias, keep=None, p=0.0, eps=1e-12):
    total = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        kept = 1 if keep is None else keep[place] / (1 - p)
        total[place] = (x[place] + bias[place[-1]]) * kept + residual[place]
    return layer_norm(total, norm_weight, norm_bias, eps)


def dropout(x, keep=None, p=0.0):
    if keep is None:
        return x
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        if keep[place]:
            y[place] = x[place] / (1 - p)
    return y


def embedding(ids, table, padding_idx=None):
    return np.array([list(table[i]) for i in ids.reshape(-1)]).reshape(*ids.shape, -1)


def positional_encoding(x, positions):
    y = np.empty_like(x)
    H = x.shape[-1]
    for place in np.ndindex(y.shape):
        angle = int(positions[place[:-1]]) / 10000 ** ((place[-1] - place[-1] % 2) / H)
        y[place] = x[place] * H**0.5 + (math.cos(angle) if place[-1] % 2 else math.sin(angle))
    return y


def gather_rows(x, index):
    return np.array([list(x[i]) for i in index])


def scatter_rows(x, index, n):
    rows = {int(i): list(row) for i, row in zip(index, x, strict=True)}
    return np.array([rows.get(i, [0.0] * x.shape[1]) for i in range(n)])


def cross_entropy(logits, labels, ignore_index=-100, label_smoothing=0.0):
    log_p = log_softmax(logits)
    C = logits.shape[1]
    losses = []
    for row, label in zip(log_p, labels, strict=True):
        if label != ignore_index:
            target = [label_smoothing / C + (1 - label_smoothing) * (c == label) for c in range(C)]
            losses.append(-math.fsum(t * v for t, v in zip(target, row, strict=True)))
    return math.fsum(losses) / max(len(losses), 1), log_p


def weighted_cross_entropy(logits, labels, class_weights, ignore_index=-100, label_smoothing=0.0):
    log_p = log_softmax(logits)
    C = logits.shape[1]
    losses, total = [], 0.0
    for row, label in zip(log_p, labels, strict=True):
        if label != ignore_index:
            total += class_weights[label]
            for c in range(C):
                target = label_smoothing / C + (1 - label_smoothing) * (c == label)
                losses.append(-class_weights[c] * target * row[c])
    return math.fsum(losses) / (total or 1.0), log_p


def binary_cross_entropy(logits, targets):
    def loss(x, t):  # -t log σ(x) - (1 - t) log σ(-x)
        return t * _log_of_one_plus_exp(-x) + (1 - t) * _log_of_one_plus_exp(x)

    return math.fsum(loss(x, t) for x, t in zip(logits.flat, targets.flat, strict=True)) / logits.size


def weighted_binary_cross_entropy(logits, targets, positive_weights):
    losses = []
    for row, truths in zip(logits, targets, strict=True):
        for x, t, w in zip(row, truths, positive_weights, strict=True):
            losses.append(w * t * _log_of_one_plus_exp(-x) + (1 - t) * _log_of_one_plus_exp(x))
    return math.fsum(losses) / logits.size


def _log_of_one_plus_exp(x):
    return x + math.log1p(math.exp(-x)) if x > 0 else math.log1p(math.exp(x))


def mean_squared_error(predictions, targets):
    return math.fsum((x - t) ** 2 for x, t in zip(predictions.flat, targets.flat, strict=True)) / predictions.size


def adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0):
    beta1, beta2 = betas
    new = []
    for theta, g, m, v in zip(parameter, gradient, mean, variance, strict=True):
        g = g * scale
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**step) if bias_correction else m
        v_hat = v / (1 - beta2**step) if bias_correction else v
        new.append((theta - lr * (m_hat / (math.sqrt(v_hat) + eps) + weight_decay * theta), m, v))
    return tuple(np.array(column) for column in zip(*new, strict=True))


def clip_scale(gradient, max_norm, eps=1e-6):
    norm = math.sqrt(math.fsum(g * g for g in gradient))
    return (max_norm / (norm + eps) if norm + eps > max_norm else 1.0), norm
