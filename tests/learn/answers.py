"""Right answers of the exercises that the library doesn't answer, and common wrong ones, for tests and expected.npz."""

import math

import numpy as np

import bertnp.functional as F

# chapter 01


def cut_word(word, pieces):
    found, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        end = next(end for end in range(len(word), start, -1) if mark + word[start:end] in pieces)
        found.append(mark + word[start:end])
        start = end
    return found


def cut_or_unknown(word, pieces, longest_word=100):
    if len(word) > longest_word:
        return ["[UNK]"]
    try:
        return cut_word(word, pieces)
    except StopIteration:
        return ["[UNK]"]


def greedy_fails():
    return {"a", "ab", "##bcc", "##c"}, "abcc"


def join_pieces(tokens):
    return " ".join(tokens).replace(" ##", "")


# chapters 02 to 04


def each_element(f, x, step):
    x = np.asarray(x, float)
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros(x.shape)
        nudge[index] = 1.0
        slopes[index] = step(x, nudge)
    return slopes


def central_difference(f, x, h=6e-6):
    return each_element(f, x, lambda x, e: (f(x + h * e) - f(x - h * e)) / (2 * h))


def complex_step(f, x, h=1e-30):
    return each_element(f, x, lambda x, e: f(x + 1j * h * e).imag / h)


def tanh_times_backward(dy, x, w):
    t = np.tanh(x)
    return dy * w * (1 - t * t), dy * t


def shares_backward(dy, x):
    total = x.sum(axis=-1, keepdims=True)
    return (dy - (dy * x).sum(axis=-1, keepdims=True) / total) / total


def is_gradient(f, backward, x):
    dy = np.random.default_rng(0).normal(size=f(x).shape)
    dx = backward(dy, x)
    if np.shape(dx) != x.shape:
        return False
    slopes = central_difference(lambda x: (dy * f(x)).sum(), x)
    return bool(np.abs(dx - slopes).max() <= 1e-6 * np.abs(slopes).max())


def papers_linear_backward(dy, x, weight):
    n, m = weight.shape
    return dy @ weight.T, x.reshape(-1, n).T @ dy.reshape(-1, m)


def times_backward(dy, x, w):
    dw = (dy * x).sum(axis=0)
    return dy * w, dw.sum(axis=0) if w.ndim == 1 else dw.sum(axis=1, keepdims=True)


def compare_backward(dscores, query, key):
    return dscores @ key, dscores.T @ query


def telling_case(rng):
    ids = rng.permutation([2, 2, 2, 5, 5, 0, 7, 8, 4, 6]).reshape(2, 5)
    return ids, rng.normal(size=(2, 5, 3)), 11


def linear_backward(dy, x, weight, out=None):
    dy, x, dx = rows(dy), rows(x), dy @ weight
    dweight = np.matmul(dy.T, x, out=out)
    return dx, dweight, dy.sum(axis=0)


# chapter 05


def temperature_softmax(x, tau):
    return F.softmax(x / tau)


def temperature_softmax_backward(dy, x, y, tau):
    dscores = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
    return dscores / tau, -(dscores * x).sum() / tau**2


def focal_loss(logits, labels, gamma):
    log_p = F.log_softmax(logits)[np.arange(len(labels)), labels]
    return -((1 - np.exp(log_p)) ** gamma * log_p).mean()


def focal_loss_backward(dloss, logits, labels, gamma):
    log_p = F.log_softmax(logits)
    rows = np.arange(len(labels))
    mine = log_p[rows, labels]
    p = np.exp(mine)
    slope = gamma * (1 - p) ** (gamma - 1) * p * mine - (1 - p) ** gamma  # by log p
    onehot = np.arange(logits.shape[1]) == labels[:, None]
    return dloss / len(labels) * slope[:, None] * (onehot - np.exp(log_p))


def sparsemax(x):
    z = -np.sort(-x, axis=-1)
    k = np.arange(1, x.shape[-1] + 1)
    sums = z.cumsum(axis=-1)
    support = (1 + k * z > sums).sum(axis=-1, keepdims=True)
    tau = (np.take_along_axis(sums, support - 1, axis=-1) - 1) / support
    return np.maximum(x - tau, 0)


def sparsemax_backward(dy, y):
    support = y > 0
    mean = (dy * support).sum(axis=-1, keepdims=True) / support.sum(axis=-1, keepdims=True)
    return support * (dy - mean)


def trusts_softmax(softmax):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    y = softmax(x)
    return bool(
        y.shape == x.shape
        and (y > 0).all()
        and np.allclose(y.sum(axis=-1), 1)
        and np.allclose(softmax(x + 5.0), y)
        and np.allclose(np.diff(np.log(softmax(x * 30)), axis=-1), np.diff(x * 30, axis=-1))
        and np.isfinite(softmax(x * 1000)).all()
        and np.allclose(softmax(x + [[[0.0], [-1000.0], [1000.0]]]), y)
    )


# chapters 06 to 08


def rms_norm(x, weight, eps=1e-6):
    s = 1 / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    return weight * x * s, x * s, s


def rms_norm_backward(dy, x_hat, inv_rms, weight):
    g = dy * weight
    dx = inv_rms * (g - x_hat * (g * x_hat).mean(axis=-1, keepdims=True))
    return dx, (dy * x_hat).reshape(-1, len(weight)).sum(axis=0)


def quick_gelu(x):
    return x * F.sigmoid(1.702 * x)


def quick_gelu_backward(dy, x):
    s = F.sigmoid(1.702 * x)
    return dy * (s + 1.702 * x * s * (1 - s))


def swiglu(x, weight, gate):
    return F.silu(x @ gate.T) * (x @ weight.T)


def swiglu_backward(dy, x, weight, gate):
    a, b = x @ gate.T, x @ weight.T
    da, db = F.silu_backward(dy * b, a), dy * F.silu(a)
    x = x.reshape(-1, x.shape[-1])
    flat = [d.reshape(-1, len(weight)) for d in (da, db)]
    return da @ gate + db @ weight, flat[1].T @ x, flat[0].T @ x


def dropout_backward(dy, keep=None, p=0.0):
    return dy if keep is None else np.where(keep, dy / (1 - p), 0.0)


def pre_norm_backward(dy, x, norm_weight, norm_bias, weight):
    n, x_hat, inv_std = F.layer_norm(x, norm_weight, norm_bias)
    dn, dweight, dbias = F.linear_backward(dy, n, weight)
    dx, dnorm_weight, dnorm_bias = F.layer_norm_backward(dn, x_hat, inv_std, norm_weight)
    return dy + dx, dnorm_weight, dnorm_bias, dweight, dbias


# chapters 09 to 11


def causal_mask(length):
    return np.tril(np.ones((length, length), bool))


def places_of(table, S, K):
    R = len(table) // 2
    return np.clip(np.arange(K) - np.arange(S)[:, None], -R, R) + R  # (S, K)


def relative_bias(scores, table):
    return scores + table[places_of(table, *scores.shape[-2:])].transpose(2, 0, 1)


def relative_bias_backward(dy, table):
    dtable = np.zeros_like(table)
    np.add.at(dtable, places_of(table, *dy.shape[-2:]), dy.sum(axis=0).transpose(1, 2, 0))
    return dy, dtable


def rotate(x, positions):
    half = x.shape[-1] // 2
    angles = positions[:, None] * 10000.0 ** (-np.arange(half) / half)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def rotate_backward(dy, positions):
    return rotate(dy, -positions)


def split_heads(x, heads):
    B, S, H = x.shape
    return np.swapaxes(x.reshape(B, S, heads, H // heads), 1, 2)


def split_heads_backward(dy):
    return merge_heads(dy)


def merge_heads(x):
    B, A, S, D = x.shape
    return np.swapaxes(x, 1, 2).reshape(B, S, A * D)


def merge_heads_backward(dy, heads):
    return split_heads(dy, heads)


def three_maps_attention_backward(dY, x, Q, K, V, P, W_Q, W_K, W_V, heads):
    parts = F.attention_backward(F.merge_heads_backward(dY, heads), Q, K, V, P)
    dx, gradients = 0.0, []
    for part, W in zip(parts, (W_Q, W_K, W_V), strict=True):
        dpart, dW, db = F.linear_backward(F.split_heads_backward(part), x, W)
        dx = dx + dpart
        gradients += [dW, db]
    return dx, *gradients


def encoder_layer_backward(dy, kept, W, heads):
    x, Q, K, V, P, c, x_hat1, inv_std1, h, u, x_hat2, inv_std2 = kept
    G = {}
    dbranch, G["b_2"], dt, G["gamma2"], G["beta2"] = F.residual_norm_backward(dy, x_hat2, inv_std2, W["gamma2"])
    dh, G["W_1"], G["b_1"], G["W_2"] = F.gelu_feed_forward_backward(dbranch, h, W["W_1"], W["W_2"], u)
    dbranch, G["b_O"], ds, G["gamma1"], G["beta1"] = F.residual_norm_backward(dt + dh, x_hat1, inv_std1, W["gamma1"])
    dc, G["W_O"] = F.product_backward(dbranch, c, W["W_O"])
    parts = F.attention_backward(F.merge_heads_backward(dc, heads), Q, K, V, P)
    dQKV = np.concatenate([F.split_heads_backward(part) for part in parts], axis=-1)
    dx, G["W_QKV"], G["b_QKV"] = F.linear_backward(dQKV, x, W["W_QKV"])
    return ds + dx, G


def keeps_padding_out(encode, rng):
    ids = rng.randint(1, 20, (3, 8))
    mask = (np.arange(8) < np.array([[8], [5], [3]])).astype(int)
    y = encode(ids, mask)
    real = mask == 1
    others = np.where(real, ids, rng.randint(0, 20, ids.shape))
    if not np.allclose(encode(others, mask)[real], y[real], rtol=1e-9, atol=1e-12):
        return False
    longer = [
        np.concatenate([a, b], axis=1) for a, b in ((ids, rng.randint(0, 20, (3, 4))), (mask, np.zeros((3, 4), int)))
    ]
    if not np.allclose(encode(*longer)[:, :8][real], y[real], rtol=1e-9, atol=1e-12):
        return False
    alone = encode(ids[2:, :3], mask[2:, :3])
    return bool(np.allclose(alone[0], y[2, :3], rtol=1e-9, atol=1e-12))


# chapters 12 to 16


def masked_words_loss(logits, labels):
    t, s = np.nonzero(labels != -100)
    if len(t) == 0:
        return 0.0
    return -F.log_softmax(logits)[t, s, labels[t, s]].mean()


def masked_words_loss_backward(dloss, logits, labels):
    t, s = np.nonzero(labels != -100)
    dlogits = np.zeros_like(logits)
    dlogits[t, s] = F.softmax(logits[t, s]) * dloss / max(len(t), 1)
    dlogits[t, s, labels[t, s]] -= dloss / max(len(t), 1)
    return dlogits


def factorised_table(ids, table, projection):
    wide = table @ projection.T
    return wide[ids] @ wide.T


def factorised_table_backward(dy, ids, table, projection):
    wide = table @ projection.T
    dwide = dy.T @ wide[ids]
    np.add.at(dwide, ids, dy @ wide)
    return dwide @ projection, dwide.T @ table


def lion(parameter, gradient, mean, lr, betas, weight_decay):
    b1, b2 = betas
    c = b1 * mean + (1 - b1) * gradient
    return parameter - lr * (np.sign(c) + weight_decay * parameter), b2 * mean + (1 - b2) * gradient


def is_decayed(name):
    return not (name.endswith("bias") or "LayerNorm" in name)


def accumulated(gradients, counts):
    return sum(n * g for g, n in zip(gradients, counts, strict=True)) / sum(counts)


ENDINGS = {"kernel": "weight", "gamma": "weight", "output_weights": "weight"}
ENDINGS |= dict.fromkeys(("beta", "bias", "output_bias"), "bias")


def from_google(tensors):
    found = {}
    for name, values in tensors.items():
        *path, last = name.replace("layer_", "layer.").split("/")
        if last == "kernel":
            values = values.T
        ours = ENDINGS.get(last, f"{last}.weight")
        found[".".join([*path, ours])] = values
    return found


def classifier_backward(dlogits, h, pooled, W_P, W_C):
    dpooled, dW_C, db_C = F.linear_backward(dlogits, pooled, W_C)
    dfirst, dW_P, db_P = F.linear_backward(dpooled * (1 - pooled**2), h[:, 0], W_P)
    dh = np.zeros_like(h)
    dh[:, 0] = dfirst
    return dh, dW_P, db_P, dW_C, db_C


def span_loss(logits, starts, ends):
    S = logits.shape[1]
    labels = [np.where(positions < S, positions, -100) for positions in (starts, ends)]
    return sum(F.cross_entropy(logits[..., i], labels[i])[0] for i in (0, 1)) / 2


def span_loss_backward(dloss, logits, starts, ends):
    dlogits = np.zeros_like(logits)
    for i, positions in enumerate((starts, ends)):
        labels = np.where(positions < logits.shape[1], positions, -100)
        dlogits[..., i] = F.cross_entropy_backward(dloss / 2, F.log_softmax(logits[..., i]), labels)
    return dlogits


# chapters 17, 18 and 20


def attention_rollout(attentions):
    rollout = np.eye(attentions.shape[-1])
    for layer in attentions.mean(axis=2):
        rollout = (layer + np.eye(layer.shape[-1])) / 2 @ rollout
    return rollout


def head_of_previous(attentions, lengths):
    before = np.diagonal(attentions, offset=-1, axis1=-2, axis2=-1)  # (L, B, A, S - 1)
    counts = np.arange(1, attentions.shape[-1]) < np.asarray(lengths)[:, None]  # (B, S - 1)
    total = (before * counts[None, :, None]).sum(axis=(1, 3))
    return tuple(int(i) for i in np.unravel_index(total.argmax(), total.shape))


def smoothing_floor(classes, epsilon):
    high, low = 1 - epsilon + epsilon / classes, epsilon / classes
    return -high * math.log(high) - (0 if low == 0 else (classes - 1) * low * math.log(low))


def beam_step(totals, log_p, k):
    ways = totals[:, None] + log_p
    best = np.argsort(-ways, axis=None)[:k]
    parents, words = np.divmod(best, log_p.shape[1])
    return parents, words, ways[parents, words]


def trusts_loss(cross_entropy):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 4))
    labels = np.array([2, -100, 0, 3, -100, 1, -100])
    rows = np.flatnonzero(labels >= 0)
    for scale in (1.0, 100.0, 1000.0):
        right = -F.log_softmax(scale * logits)[rows, labels[rows]].mean()
        if not np.isclose(cross_entropy(scale * logits, labels), right, rtol=1e-9):
            return False
    return True


# common wrong answers, by the label under which the registry has a sentence for them


def mean(x):
    return x.mean(axis=-1, keepdims=True)


def total(x):
    return x.sum(axis=-1, keepdims=True)


def rows(x):
    return x.reshape(-1, x.shape[-1])


def with_first(first, backward):
    """The right gradients, the first of them replaced by first(...)."""
    return lambda *a, **k: (first(*a, **k), *backward(*a, **k)[1:])


def with_second(second, backward):
    return lambda *a, **k: (backward(*a, **k)[0], second(*a, **k), *backward(*a, **k)[2:])


def of_log_p(slope):
    """A wrong backward of the focal loss: slope(p, log p, γ) by log p."""

    def backward(dloss, logits, labels, gamma):
        log_p = F.log_softmax(logits)
        mine = log_p[np.arange(len(labels)), labels][:, None]
        onehot = np.arange(logits.shape[1]) == labels[:, None]
        return dloss / len(labels) * slope(np.exp(mine), mine, gamma) * (onehot - np.exp(log_p))

    return backward


def rotate_pairs(x, positions):
    """Neighbours as pairs instead of halves."""
    angles = positions[:, None] * 10000.0 ** (-np.arange(x.shape[-1] // 2) / (x.shape[-1] // 2))
    a, b, y = x[..., 0::2], x[..., 1::2], np.empty_like(x)
    y[..., 0::2], y[..., 1::2] = a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)
    return y


def rotate_by(x, positions, exponent):
    half = x.shape[-1] // 2
    angles = positions[:, None] * 10000.0 ** exponent(np.arange(half), 2 * half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], axis=-1)


def layer_without(path):
    """The encoder layer's backward with one of the two ways straight through, "x" or "h", forgotten."""

    def backward(dy, kept, W, heads):
        x_hat1, inv_std1, h, u, x_hat2, inv_std2 = kept[6:]
        dx, G = encoder_layer_backward(dy, kept, W, heads)
        dbranch, _, dt, _, _ = F.residual_norm_backward(dy, x_hat2, inv_std2, W["gamma2"])
        dh = F.gelu_feed_forward_backward(dbranch, h, W["W_1"], W["W_2"], u)[0]
        if path == "x":
            return dx - F.residual_norm_backward(dt + dh, x_hat1, inv_std1, W["gamma1"])[2], G
        ds = F.residual_norm_backward(dh, x_hat1, inv_std1, W["gamma1"])
        return below_the_first_norm(ds, kept, W, heads, G)

    return backward


def below_the_first_norm(ds, kept, W, heads, G):
    """The rest of the layer's backward from what the first norm's gave."""
    x, Q, K, V, P, c = kept[:6]
    G = dict(G)
    dbranch, G["b_O"], ds, G["gamma1"], G["beta1"] = ds
    dc, G["W_O"] = F.product_backward(dbranch, c, W["W_O"])
    parts = F.attention_backward(F.merge_heads_backward(dc, heads), Q, K, V, P)
    dQKV = np.concatenate([F.split_heads_backward(part) for part in parts], axis=-1)
    dx, G["W_QKV"], G["b_QKV"] = F.linear_backward(dQKV, x, W["W_QKV"])
    return ds + dx, G


def projection_once(dy, ids, table, projection):
    """The gradient of the factorised table with P taken as constant at the end where words are looked up."""
    wide = table @ projection.T
    return factorised_table_backward(dy, ids, table, projection)[0], (dy.T @ wide[ids]).T @ table


def classifier_with(slope):
    """The classifier's backward with another slope of tanh, from its output."""

    def backward(dlogits, h, pooled, W_P, W_C):
        dpooled, dW_C, db_C = F.linear_backward(dlogits, pooled, W_C)
        dfirst, dW_P, db_P = F.linear_backward(dpooled * slope(pooled), h[:, 0], W_P)
        dh = np.zeros_like(h)
        dh[:, 0] = dfirst
        return dh, dW_P, db_P, dW_C, db_C

    return backward


def focal_of_mean(logits, labels, gamma):
    loss = -F.log_softmax(logits)[np.arange(len(labels)), labels].mean()
    return (1 - np.exp(-loss)) ** gamma * loss


def spans(logits, starts, ends, scale=0.5, clip=False):
    S = logits.shape[1]
    labels = [np.minimum(p, S - 1) if clip else np.where(p < S, p, -100) for p in (starts, ends)]
    return sum(F.cross_entropy(logits[..., i], labels[i])[0] for i in (0, 1)) * scale


WRONG = {
    "tanh_times_backward": {
        "slope of the input": lambda dy, x, w: (dy * w * (1 - x * x), dy * np.tanh(x)),
        "w lost": lambda dy, x, w: (dy * (1 - np.tanh(x) ** 2), dy * np.tanh(x)),
        "dy lost": lambda dy, x, w: (w * (1 - np.tanh(x) ** 2), dy * np.tanh(x)),
    },
    "shares_backward": {
        "denominator constant": lambda dy, x: dy / total(x),
        "one division": lambda dy, x: (dy - total(dy * x)) / total(x),
        "mean for sum": lambda dy, x: (dy - mean(dy * x) / total(x)) / total(x),
        "softmax's rule": lambda dy, x: x / total(x) * (dy - total(dy * x) / total(x)),
    },
    "papers_linear_backward": {
        "dW transposed": with_second(lambda dy, x, weight: rows(dy).T @ rows(x), papers_linear_backward),
        "dW averaged": with_second(
            lambda dy, x, weight: rows(x).T @ rows(dy) / len(rows(x)), papers_linear_backward),
    },
    "times_backward": {
        "not summed": lambda dy, x, w: (dy * w, dy * x),
        "summed over the batch only": lambda dy, x, w: (dy * w, (dy * x).sum(axis=0)),
        "averaged": lambda dy, x, w: (dy * w, times_backward(dy, x, w)[1] * w.size / x.size),
        "w lost": lambda dy, x, w: (dy, times_backward(dy, x, w)[1]),
    },
    "compare_backward": {
        "swapped": lambda dscores, query, key: compare_backward(dscores, query, key)[::-1],
        "dQ from Q": lambda dscores, query, key: (dscores @ dscores.T @ query, dscores.T @ query),
    },
    "temperature_softmax": {
        "multiplied": lambda x, tau: F.softmax(x * tau),
        "after the softmax": lambda x, tau: F.softmax(x) / tau,
        "not stable": lambda x, tau: np.exp(x / tau) / total(np.exp(x / tau)),
        "power of the shares unnormalised": lambda x, tau: F.softmax(x) ** (1 / tau),
    },
    "temperature_softmax_backward": {
        "dx not divided": with_first(
            lambda dy, x, y, tau: F.softmax_backward(dy, y), temperature_softmax_backward),
        "dtau of the scores": with_second(
            lambda dy, x, y, tau: (F.softmax_backward(dy, y) * x).sum(), temperature_softmax_backward),
        "dtau's sign": with_second(
            lambda dy, x, y, tau: (F.softmax_backward(dy, y) * x).sum() / tau**2, temperature_softmax_backward),
        "dtau for each row": with_second(
            lambda dy, x, y, tau: -(F.softmax_backward(dy, y) * x).sum(axis=-1) / tau**2,
            temperature_softmax_backward),
    },
    "focal_loss": {
        "of the mean": focal_of_mean,
        "p for 1 - p": lambda logits, labels, gamma: (lambda lp: -(np.exp(lp) ** gamma * lp).mean())(
            F.log_softmax(logits)[np.arange(len(labels)), labels]),
        "sum": lambda logits, labels, gamma: focal_loss(logits, labels, gamma) * len(labels),
        "gamma not used": lambda logits, labels, gamma: focal_loss(logits, labels, 0),
    },
    "focal_loss_backward": {
        "weight constant": of_log_p(lambda p, lp, gamma: -((1 - p) ** gamma)),
        "p lost": of_log_p(lambda p, lp, gamma: gamma * (1 - p) ** (gamma - 1) * lp - (1 - p) ** gamma),
        "sign of the second term": of_log_p(
            lambda p, lp, gamma: -gamma * (1 - p) ** (gamma - 1) * p * lp - (1 - p) ** gamma),
        "sum": lambda dloss, logits, labels, gamma: focal_loss_backward(dloss, logits, labels, gamma) * len(labels),
    },
    "sparsemax": {
        "that is softmax": lambda x: F.softmax(x),
        "one threshold for all": lambda x: sparsemax(x.reshape(1, -1)).reshape(x.shape),
        "cut, then normalised": lambda x: np.maximum(x, 0) / np.maximum(total(np.maximum(x, 0)), 1e-300),
        "all in the sum": lambda x: np.maximum(x - (total(x) - 1) / x.shape[-1], 0),
    },
    "sparsemax_backward": {
        "mean over all": lambda dy, y: (y > 0) * (dy - mean(dy)),
        "threshold constant": lambda dy, y: (y > 0) * dy,
        "softmax's rule": lambda dy, y: F.softmax_backward(dy, y),
        "mean of the support, given to all": lambda dy, y: dy - total(dy * (y > 0)) / total(y > 0),
    },
    "rms_norm": {
        "mean subtracted": lambda x, weight, eps=1e-6: rms_norm(x - mean(x), weight, eps),
        "eps outside": lambda x, weight, eps=1e-6: (lambda s: (weight * x * s, x * s, s))(
            1 / (np.sqrt(mean(x * x)) + eps)),
        "sum of squares": lambda x, weight, eps=1e-6: (lambda s: (weight * x * s, x * s, s))(
            1 / np.sqrt(total(x * x) + eps)),
        "eps not used": lambda x, weight, eps=1e-6: rms_norm(x, weight, 0.0),
    },
    "rms_norm_backward": {
        "size constant": with_first(
            lambda dy, x_hat, inv_rms, weight: inv_rms * dy * weight, rms_norm_backward),
        "layer norm's": with_first(
            lambda dy, x_hat, inv_rms, weight: rms_norm_backward(dy, x_hat, inv_rms, weight)[0]
            - inv_rms * mean(dy * weight), rms_norm_backward),
        "gamma lost": with_first(
            lambda dy, x_hat, inv_rms, weight: rms_norm_backward(dy, x_hat, inv_rms, np.ones_like(weight))[0],
            rms_norm_backward),
        "gamma late": with_first(
            lambda dy, x_hat, inv_rms, weight: weight * rms_norm_backward(dy, x_hat, inv_rms, np.ones_like(weight))[0],
            rms_norm_backward),
        "x_hat lost": with_first(
            lambda dy, x_hat, inv_rms, weight: inv_rms * (dy * weight - mean(dy * weight * x_hat)), rms_norm_backward),
        "dgamma not summed": with_second(lambda dy, x_hat, inv_rms, weight: dy * x_hat, rms_norm_backward),
    },
    "quick_gelu": {
        "1.702 lost": lambda x: x * F.sigmoid(x),
        "that is GELU": lambda x: F.gelu(x),
        "x lost": lambda x: F.sigmoid(1.702 * x),
        "1.702 outside": lambda x: 1.702 * x * F.sigmoid(x),
    },
    "quick_gelu_backward": {
        "1.702 lost": lambda dy, x: dy * (lambda s: s + x * s * (1 - s))(F.sigmoid(1.702 * x)),
        "first half": lambda dy, x: dy * F.sigmoid(1.702 * x),
        "second half": lambda dy, x: dy * (lambda s: 1.702 * x * s * (1 - s))(F.sigmoid(1.702 * x)),
        "GELU's": lambda dy, x: F.gelu_backward(dy, x),
    },
    "swiglu": {
        "gate and weight swapped": lambda x, weight, gate: swiglu(x, gate, weight),
        "sigmoid for silu": lambda x, weight, gate: F.sigmoid(x @ gate.T) * (x @ weight.T),
        "gate bare": lambda x, weight, gate: (x @ gate.T) * (x @ weight.T),
    },
    "swiglu_backward": {
        "one path to x": with_first(
            lambda dy, x, weight, gate: (dy * F.silu(x @ gate.T)) @ weight, swiglu_backward),
        "dW and dG swapped": lambda dy, x, weight, gate: (
            (lambda g: (g[0], g[2], g[1]))(swiglu_backward(dy, x, weight, gate))),
        "gate's slope left out": lambda dy, x, weight, gate: (
            (lambda da, db: (da @ gate + db @ weight, rows(db).T @ rows(x), rows(da).T @ rows(x)))(
                dy * (x @ weight.T), dy * F.silu(x @ gate.T))),
    },
    "pre_norm_backward": {
        "way straight through lost": lambda dy, x, *w: (lambda g: (g[0] - dy, *g[1:]))(pre_norm_backward(dy, x, *w)),
        "branch lost": lambda dy, x, *w: (dy, *pre_norm_backward(dy, x, *w)[1:]),
        "dW from x": lambda dy, x, *w: (*pre_norm_backward(dy, x, *w)[:3], rows(dy).T @ rows(x), rows(dy).sum(axis=0)),
        "all through the norm": lambda dy, x, norm_weight, norm_bias, weight: (
            F.layer_norm_backward(
                dy + dy @ weight, *F.layer_norm(x, norm_weight, norm_bias)[1:], norm_weight)[0],
            *pre_norm_backward(dy, x, norm_weight, norm_bias, weight)[1:]),
    },
    "relative_bias": {
        "s - k": lambda scores, table: relative_bias(scores, table[::-1]),
        "not clipped": lambda scores, table: scores + table[
            (np.arange(scores.shape[-1]) - np.arange(scores.shape[-2])[:, None] + len(table) // 2) % len(table)
        ].transpose(2, 0, 1),
        "R not added": lambda scores, table: scores + table[
            np.clip(np.arange(scores.shape[-1]) - np.arange(scores.shape[-2])[:, None], -(len(table) // 2),
                    len(table) // 2)].transpose(2, 0, 1),
        "one head's for all": lambda scores, table: scores + table[places_of(table, *scores.shape[-2:])][..., 0],
    },
    "relative_bias_backward": {
        "assigned": with_second(lambda dy, table: (lambda d: (d.__setitem__(
            places_of(table, *dy.shape[-2:]), dy.sum(axis=0).transpose(1, 2, 0)), d)[1])(np.zeros_like(table)),
            relative_bias_backward),
        "mean over the batch": with_second(
            lambda dy, table: relative_bias_backward(dy, table)[1] / len(dy), relative_bias_backward),
        "first sequence only": with_second(
            lambda dy, table: relative_bias_backward(dy[:1], table)[1], relative_bias_backward),
    },
    "rotate": {
        "neighbours as pairs": rotate_pairs,
        "turned the other way": lambda x, positions: rotate(x, -positions),
        "all at one speed": lambda x, positions: rotate_by(x, positions, lambda i, D: 0.0 * i),
        "speeds of i / D": lambda x, positions: rotate_by(x, positions, lambda i, D: -i / D),
    },
    "rotate_backward": {
        "turned on": lambda dy, positions: rotate(dy, positions),
        "handed through": lambda dy, positions: dy,
    },
    "three_maps_attention_backward": {
        "values only": lambda dY, x, Q, K, V, P, W_Q, W_K, W_V, heads: (
            F.split_heads_backward(F.attention_backward(F.merge_heads_backward(dY, heads), Q, K, V, P)[2]) @ W_V,
            *three_maps_attention_backward(dY, x, Q, K, V, P, W_Q, W_K, W_V, heads)[1:]),
        "heads cut by reshape": lambda dY, x, Q, K, V, P, W_Q, W_K, W_V, heads: three_maps_attention_backward(
            F.merge_heads(dY.reshape(Q.shape)), x, Q, K, V, P, W_Q, W_K, W_V, heads),
        "W transposed": lambda dY, x, Q, K, V, P, W_Q, W_K, W_V, heads: (
            three_maps_attention_backward(dY, x, Q, K, V, P, W_Q.T, W_K.T, W_V.T, heads)[0],
            *three_maps_attention_backward(dY, x, Q, K, V, P, W_Q, W_K, W_V, heads)[1:]),
    },
    "encoder_layer_backward": {"x straight through "
                               "lost": layer_without("x"), "h straight through lost": layer_without("h")},
    "masked_words_loss": {
        "mean over all tokens": lambda logits, labels: masked_words_loss(logits, labels)
        * (labels != -100).sum() / labels.size,
        "mean of the rows' means": lambda logits, labels: np.mean(
            [masked_words_loss(z[None], y[None]) for z, y in zip(logits, labels, strict=True)]),
        "sum": lambda logits, labels: masked_words_loss(logits, labels) * (labels != -100).sum(),
        "unlabelled as word 0": lambda logits, labels: masked_words_loss(logits, np.where(labels < 0, 0, labels)),
        "word 0 left out": lambda logits, labels: masked_words_loss(logits, np.where(labels == 0, -100, labels)),
    },
    "masked_words_loss_backward": {
        "mean over all tokens": lambda dloss, logits, labels: masked_words_loss_backward(dloss, logits, labels)
        * (labels != -100).sum() / labels.size,
        "sum": lambda dloss, logits, labels: masked_words_loss_backward(dloss, logits, labels) * (labels != -100).sum(),
        "unlabelled rows leak": lambda dloss, logits, labels: np.where(
            (labels != -100)[..., None], masked_words_loss_backward(dloss, logits, labels),
            F.softmax(logits) * dloss / (labels != -100).sum()),
        "1 not subtracted": lambda dloss, logits, labels: F.softmax(logits) * (labels != -100)[..., None]
        * dloss / max((labels != -100).sum(), 1),
        "word 0 left out": lambda dloss, logits, labels: masked_words_loss_backward(dloss, logits, labels)
        * (labels != 0)[..., None],
    },
    "factorised_table": {"projection left out": lambda ids, table, projection: table[ids] @ table.T},
    "factorised_table_backward": {
        "only the scores' half": lambda dy, ids, table, projection: (lambda wide: (
            dy.T @ wide[ids] @ projection, (dy.T @ wide[ids]).T @ table))(table @ projection.T),
        "P once": projection_once,
        "lookup assigned": lambda dy, ids, table, projection: (lambda wide: (lambda d: (
            d @ projection, d.T @ table))(dy.T @ wide[ids] + assigned(wide, ids, dy @ wide)))(table @ projection.T),
    },
    "lion": {
        "one average": lambda parameter, gradient, mean, lr, betas, weight_decay: lion(
            parameter, gradient, mean, lr, (betas[0], betas[0]), weight_decay),
        "betas swapped": lambda parameter, gradient, mean, lr, betas, weight_decay: lion(
            parameter, gradient, mean, lr, betas[::-1], weight_decay),
        "sign of the gradient": lambda parameter, gradient, mean, lr, betas, weight_decay: (
            parameter - lr * (np.sign(gradient) + weight_decay * parameter),
            lion(parameter, gradient, mean, lr, betas, weight_decay)[1]),
        "no sign": lambda parameter, gradient, mean, lr, betas, weight_decay: (
            parameter - lr * (betas[0] * mean + (1 - betas[0]) * gradient + weight_decay * parameter),
            lion(parameter, gradient, mean, lr, betas, weight_decay)[1]),
        "decay without lr": lambda parameter, gradient, mean, lr, betas, weight_decay: (
            lion(parameter, gradient, mean, lr, betas, 0.0)[0] - weight_decay * parameter,
            lion(parameter, gradient, mean, lr, betas, 0.0)[1]),
        "decay through the sign": lambda parameter, gradient, mean, lr, betas, weight_decay: lion(
            parameter, gradient + weight_decay * parameter, mean, lr, betas, 0.0),
    },
    "classifier_backward": {
        "to all tokens": lambda dlogits, h, pooled, W_P, W_C: (lambda g: (
            np.repeat(g[0][:, :1], h.shape[1], axis=1), *g[1:]))(classifier_backward(dlogits, h, pooled, W_P, W_C)),
        "tanh left out": classifier_with(lambda y: 1.0),
        "1 - pooled": classifier_with(lambda y: 1.0 - y),
        "dW_C from [CLS]": lambda dlogits, h, pooled, W_P, W_C: (
            *classifier_backward(dlogits, h, pooled, W_P, W_C)[:3], dlogits.T @ h[:, 0], dlogits.sum(axis=0)),
    },
    "span_loss": {
        "sum of both": lambda logits, starts, ends: spans(logits, starts, ends, scale=1.0),
        "beyond the end counted": lambda logits, starts, ends: spans(logits, starts, ends, clip=True),
        "start and end swapped": lambda logits, starts, ends: span_loss(logits, ends, starts),
        "over start and end": lambda logits, starts, ends: span_over_two(logits, starts, ends),
    },
    "span_loss_backward": {
        "half lost": lambda dloss, logits, starts, ends: 2 * span_loss_backward(dloss, logits, starts, ends),
        "mean over the batch": lambda dloss, logits, starts, ends: span_loss_backward(dloss, logits, starts, ends)
        * np.array([(starts < logits.shape[1]).mean(), (ends < logits.shape[1]).mean()]),
        "beyond the end leaks": lambda dloss, logits, starts, ends: span_leaking(dloss, logits, starts, ends),
    },
    "attention_rollout": {
        "other order": lambda attentions: attention_rollout(attentions[::-1]),
        "residual forgotten": lambda attentions: chain(attentions.mean(axis=2)),
        "not halved": lambda attentions: chain(attentions.mean(axis=2) + np.eye(attentions.shape[-1])),
        "sum of the layers": lambda attentions: (attentions.mean(axis=(0, 2)) + np.eye(attentions.shape[-1])) / 2,
        "heads summed": lambda attentions: chain(attentions.sum(axis=2) / 2 + np.eye(attentions.shape[-1]) / 2),
    },
}  # fmt: skip


def assigned(table, ids, values):
    result = np.zeros_like(table)
    result[ids] = values
    return result


def chain(layers):
    result = np.eye(layers.shape[-1])
    for layer in layers:
        result = layer @ result
    return result


def span_over_two(logits, starts, ends):
    """Softmax over start and end at each position instead of over the positions."""
    log_p, S = F.log_softmax(logits), logits.shape[1]
    losses = []
    for i, positions in enumerate((starts, ends)):
        known = np.flatnonzero(positions < S)
        losses.append(-log_p[known, positions[known], i].mean())
    return sum(losses) / 2


def span_leaking(dloss, logits, starts, ends):
    dlogits = span_loss_backward(dloss, logits, starts, ends)
    for i, positions in enumerate((starts, ends)):
        beyond = positions >= logits.shape[1]
        dlogits[beyond, :, i] = F.softmax(logits[beyond, :, i]) * dloss / 2 / max((~beyond).sum(), 1)
    return dlogits


# common slips where a judge looks at properties, by its label for them


def walk(word, pieces, mark="##", shortest=False, lost=False, stuck="[UNK]"):
    found, start = [], 0
    while start < len(word):
        ends = range(start + 1, len(word) + 1) if shortest else range(len(word), start, -1)
        end = next((end for end in ends if (mark if start else "") + word[start:end] in pieces), None)
        if end is None:
            return {"[UNK]": [*found, "[UNK]"], "so far": found, "nothing": []}[stuck]
        found.append(("" if lost or not start else mark) + word[start:end])
        start = end
    return found


def in_place(f, x, h=6e-6):
    """x + h is never put back before h is taken away."""
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        old = x[index]
        x[index] += h
        above = f(x)
        x[index] -= h
        slopes[index] = (above - f(x)) / (2 * h)
        x[index] = old
    return slopes


def changed(f, x, h=6e-6):
    x += 0.0 * x + 1e-3
    return central_difference(f, x, h)


def sinusoid_table(length, size, exponent, cosine):
    columns = np.arange(size)
    angles = np.arange(length)[:, None] * 10000.0 ** -exponent(columns, size)
    return np.where(cosine(columns, size), np.cos(angles), np.sin(angles))


def masking(chosen_share=0.15, hide=0.8, replace=0.5, labels_late=False, everywhere=False, blind=False, rows=False,
            few_words=False, own_rng=False):  # fmt: skip
    """mask_tokens with slips to choose from."""

    def mask(input_ids, special_tokens_mask, rng, mask_token_id, vocab_size, mlm_probability=0.15,
             mask_replace_prob=0.8, random_replace_prob=0.1, continues=None):  # fmt: skip
        rng = np.random.default_rng() if own_rng else rng
        ids, special, shape = input_ids.copy(), special_tokens_mask & (not blind), input_ids.shape
        probability = mlm_probability if mlm_probability == 1 else chosen_share
        draws = rng.random(shape) + special * 2.0
        chosen = draws < probability
        if rows:
            count = (probability * (~special).sum(axis=1)).round().astype(int)
            chosen = draws.argsort(axis=1).argsort(axis=1) < count[:, None]
        labels = np.where(chosen | everywhere, ids, -100)
        hidden = chosen & (rng.random(shape) < (mask_replace_prob if mask_replace_prob == 1 else hide))
        ids[hidden] = mask_token_id
        other = chosen & ~hidden & (rng.random(shape) < replace)
        ids[other] = rng.integers(10 if few_words else 0, vocab_size, other.sum())
        return ids, np.where(chosen, ids, -100) if labels_late else labels

    return mask


def look_back(attentions, lengths, offset=-1, padding=False):
    shares = np.diagonal(attentions, offset=offset, axis1=-2, axis2=-1)
    counts = np.arange(1, attentions.shape[-1]) < np.asarray(lengths)[:, None]
    total = (shares * (counts | padding)[None, :, None]).sum(axis=(1, 3))
    return tuple(int(i) for i in np.unravel_index(total.argmax(), total.shape))


def with_ones(f, backward, x):
    slopes = central_difference(lambda x: f(x).sum(), x)
    dx = backward(np.ones(f(x).shape), x)
    return bool(np.shape(dx) == x.shape and np.abs(dx - slopes).max() <= 1e-6 * np.abs(slopes).max() + 1e-9)


def filled(encode, rng):
    """Looks at other ids in places of padding only."""
    ids, mask = rng.randint(1, 20, (2, 6)), np.array([[1] * 6, [1] * 4 + [0] * 2])
    others = np.where(mask == 1, ids, rng.randint(0, 20, ids.shape))
    return bool(np.allclose(encode(ids, mask)[mask == 1], encode(others, mask)[mask == 1], rtol=1e-9, atol=1e-12))


def ways(totals, log_p, k, order=-1, counted=True):
    sums = totals[:, None] + log_p
    best = np.argsort(order * (sums if counted else log_p), axis=None, kind="stable")[:k]
    parents, words = np.divmod(best, log_p.shape[1])
    return parents, words, sums[parents, words]


SLIPS = {
    "cut_word": {
        "the shortest first": lambda word, pieces: walk(word, pieces, shortest=True),
        "pieces without ##": lambda word, pieces: walk(word, pieces, mark=""),
        "## lost": lambda word, pieces: walk(word, pieces, lost=True),
        "writes": lambda word, pieces: (walk(word, pieces), pieces.add("zz"))[0],
    },
    "cut_or_unknown": {
        "what is left is unknown": lambda word, pieces, longest_word=100: walk(word, pieces),
        "stops where it is stuck": lambda word, pieces, longest_word=100: walk(word, pieces, stuck="so far"),
        "nothing for unknown": lambda word, pieces, longest_word=100: walk(word, pieces, stuck="nothing"),
        "no limit": lambda word, pieces, longest_word=100: cut_or_unknown(word, pieces, 10**6),
        "one too early": lambda word, pieces, longest_word=100: cut_or_unknown(word, pieces, longest_word - 1),
    },
    "greedy_fails": {
        "form": lambda: "abcc",
        "not three": lambda: ({"a", "##b"}, "ab"),
        "no two": lambda: ({"a", "##b", "##c"}, "abc"),
        "not the smallest": lambda: ({"a", "ab", "##bcd", "##c", "##d"}, "abcd"),
    },
    "join_pieces": {
        "blanks inside words": lambda tokens: " ".join(token.removeprefix("##") for token in tokens),
        "no blanks": lambda tokens: "".join(token.removeprefix("##") for token in tokens),
        "## left": lambda tokens: " ".join(tokens),
        "blank in front": lambda tokens: " " + join_pieces(tokens),
    },
    "central_difference": {
        "one-sided": lambda f, x, h=6e-6: each_element(f, x, lambda x, e: (f(x + h * e) - f(x)) / h),
        "divided by h": lambda f, x, h=6e-6: 2 * central_difference(f, x, h),
        "all elements at once": lambda f, x, h=6e-6: (f(x + h) - f(x - h)) / (2 * h),
        "x not put back": in_place,
        "digits": lambda f, x, h=1e-2: central_difference(f, x, h),
        "writes": changed,
    },
    "complex_step": {
        "not divided by h": lambda f, x, h=1e-30: h * complex_step(f, x, h),
        "real part": lambda f, x, h=1e-30: np.full(x.shape, f(x) / h),
        "all elements at once": lambda f, x, h=1e-30: np.full(x.shape, complex_step(f, x, h).sum()),
        "lost": lambda f, x, h=1e-30: np.zeros(x.shape),
    },
    "is_gradient": {
        "accepts: zeros for a softmax": with_ones,
        "rejects a right one": lambda f, backward, x: False,
        "no bool": lambda f, backward, x: None,
    },
    "sinusoids": {
        "sines first": lambda length, size: np.concatenate(
            [sinusoids_of(length, size)[:, 0::2], sinusoids_of(length, size)[:, 1::2]], axis=1),
        "2i twice": lambda length, size: sinusoid_table(
            length, size, lambda c, H: 4 * (c // 2) / H, lambda c, H: c % 2 == 1),
        "a speed for each column": lambda length, size: sinusoid_table(
            length, size, lambda c, H: c / H, lambda c, H: c % 2 == 1),
        "cosine first": lambda length, size: sinusoid_table(
            length, size, lambda c, H: 2 * (c // 2) / H, lambda c, H: c % 2 == 0),
    },
    "telling_case": {
        "form": lambda rng: (np.zeros(3, int), np.zeros((3, 2)), 4),
        "hides: assigned": lambda rng: (np.arange(8).reshape(2, 4), rng.normal(size=(2, 4, 3)), 10),
        "hides: counts": lambda rng: (telling_case(rng)[0], np.ones((2, 5, 3)), 11),
        "hides: averaged over the batch": lambda rng: (np.array([[0, 3, 3]]), rng.normal(size=(1, 3, 2)), 5),
        "hides: id 0 taken for padding": lambda rng: (
            np.array([[1, 2], [2, 4]]), rng.normal(size=(2, 2, 3)), 6),
    },
    "trusts_softmax": {
        "accepts: exp overflows": lambda softmax: bool(
            np.allclose(softmax(np.arange(24.0).reshape(2, 3, 4) * 9).sum(axis=-1), 1)
            and (softmax(np.arange(4.0)) != softmax(np.arange(4.0)[::-1])).any()),
    },
    "keeps_padding_out": {"accepts: a sum over real tokens by the padded length": filled},
    "causal_mask": {
        "the other triangle": lambda length: causal_mask(length).T,
        "not itself": lambda length: np.tril(np.ones((length, length), bool), -1),
        "numbers to add": lambda length: np.where(causal_mask(length), 0.0, -np.inf),
        "no truth values": lambda length: causal_mask(length).astype(int),
    },
    "mask_tokens": {
        "share of chosen": masking(chosen_share=0.5),
        "special tokens": masking(blind=True),
        "late labels": masking(labels_late=True),
        "80% become [MASK]": masking(hide=1.0),
        "10% stay": masking(replace=0.1),
        "random words": masking(few_words=True),
        "fixed share": masking(rows=True),
        "other random numbers": masking(own_rng=True),
    },
    "linear_schedule": {
        "below 0": lambda step, total, warmup=0: (
            step / warmup if step < warmup else (total - step) / max(1, total - warmup)),
        "no warm-up": lambda step, total, warmup=0: max(0.0, (total - step) / max(1, total - warmup)),
        "Google's": lambda step, total, warmup=0: step / warmup if step < warmup else max(0.0, 1 - step / total),
        "one step ahead": lambda step, total, warmup=0: (
            (step + 1) / warmup if step < warmup else max(0.0, (total - step - 1) / max(1, total - warmup))),
        "never falls": lambda step, total, warmup=0: step / warmup if step < warmup else 1.0,
    },
    "is_decayed": {
        "layer norms": lambda name: name.endswith("weight"),
        "biases": lambda name: "LayerNorm" not in name,
        "tables": lambda name: is_decayed(name) and "embeddings.weight" not in name,
    },
    "accumulated": {
        "mean of the means": lambda gradients, counts: sum(gradients) / len(gradients),
        "sum": lambda gradients, counts: sum(gradients),
        "not divided": lambda gradients, counts: accumulated(gradients, counts) * sum(counts),
        "divided by the parts": lambda gradients, counts: accumulated(gradients, counts) * sum(counts) / len(counts),
        "writes": lambda gradients, counts: (accumulated(gradients, counts), gradients[0].fill(0))[0],
    },
    "from_google": {
        "kernels": lambda tensors: {
            name: values.T if "kernel" in google else values
            for (name, values), google in zip(from_google(tensors).items(), tensors, strict=True)},
        "names": lambda tensors: {name.replace("layer.", "layer_"): v for name, v in from_google(tensors).items()},
        "values": lambda tensors: {n: v.T if "embeddings" in n else v for n, v in from_google(tensors).items()},
        "number": lambda tensors: {**from_google(tensors), "position_ids": np.arange(3)},
    },
    "head_of_previous": {
        "padding counted": lambda attentions, lengths: look_back(attentions, lengths, padding=True),
        "the next token": lambda attentions, lengths: look_back(attentions, lengths, offset=1, padding=True),
        "layer and head swapped": lambda attentions, lengths: head_of_previous(attentions, lengths)[::-1],
    },
    "smoothing_floor": {
        "only the label": lambda classes, epsilon: -math.log(1 - epsilon),
        "bits": lambda classes, epsilon: smoothing_floor(classes, epsilon) / math.log(2),
        "shared among the others": lambda classes, epsilon: 0.0 if epsilon == 0 else (
            -(1 - epsilon) * math.log(1 - epsilon) - epsilon * math.log(epsilon / (classes - 1))),
        "one of the others": lambda classes, epsilon: 0.0 if epsilon == 0 else sum(
            -t * math.log(t) for t in (1 - epsilon + epsilon / classes, epsilon / classes)),
    },
    "beam_step": {
        "beginnings forgotten": lambda totals, log_p, k: ways(totals, log_p, k, counted=False),
        "the best of each": lambda totals, log_p, k: (np.arange(k), log_p.argmax(axis=1), totals + log_p.max(axis=1)),
        "the smallest first": lambda totals, log_p, k: tuple(part[::-1] for part in beam_step(totals, log_p, k)),
        "the least likely": lambda totals, log_p, k: ways(totals, log_p, k, order=1),
    },
    "trusts_loss": {
        "accepts: exhibit 3: the mean before the mask": lambda cross_entropy: bool(
            np.isclose(cross_entropy(np.zeros((3, 4)), np.array([1, 2, 3])), math.log(4))),
    },
}  # fmt: skip


def sinusoids_of(length, size):
    return sinusoid_table(length, size, lambda c, H: 2 * (c // 2) / H, lambda c, H: c % 2 == 1)
