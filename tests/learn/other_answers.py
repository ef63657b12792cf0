"""Right answers as others would write them, with loops, recursion or complex numbers: a judge has to accept them."""

import math
import re

import numpy as np

import bertnp.functional as F


def cut_word(word, pieces, first=True):
    if word == "":
        return []
    for n in range(len(word), 0, -1):
        p = word[:n] if first else "##" + word[:n]
        if p in pieces:
            return [p] + cut_word(word[n:], pieces, False)


def cut_or_unknown(word, pieces, longest_word=100):
    if len(word) > longest_word:
        return ["[UNK]"]
    out, rest, mark = [], word, ""
    while rest:
        for n in range(len(rest), 0, -1):
            if mark + rest[:n] in pieces:
                out.append(mark + rest[:n])
                rest = rest[n:]
                mark = "##"
                break
        else:
            return ["[UNK]"]
    return out


def join_pieces(tokens):
    text = ""
    for t in tokens:
        if t[:2] == "##":
            text += t[2:]
        else:
            text += " " + t
    return text.strip()


def central_difference(f, x, h=6e-6):
    x = np.array(x, dtype=float)
    g = np.empty_like(x)
    it = np.nditer(x, flags=["multi_index"])
    for _ in it:
        i = it.multi_index
        old = x[i]
        x[i] = old + h
        up = f(x)
        x[i] = old - h
        down = f(x)
        x[i] = old
        g[i] = (up - down) / (2 * h)
    return g


def complex_step(f, x, h=1e-30):
    g = np.empty(x.shape)
    for i in range(x.size):
        z = x.astype(complex)
        z.flat[i] += 1j * h
        g.flat[i] = np.imag(f(z)) / h
    return g


def is_gradient(f, backward, x):
    rng = np.random.default_rng()
    dy = rng.standard_normal(f(x).shape)
    dx = np.asarray(backward(dy, x))
    if dx.shape != x.shape:
        return False
    for i in range(x.size):
        h = 1e-5
        a, b = x.copy(), x.copy()
        a.flat[i] += h
        b.flat[i] -= h
        s = np.sum(dy * (f(a) - f(b))) / (2 * h)
        if abs(s - dx.flat[i]) > 1e-6 * max(abs(dx).max(), 1e-300):
            return False
    return True


def times_backward(dy, x, w):
    dw = dy * x
    while dw.ndim > w.ndim:
        dw = dw.sum(0)
    for a, n in enumerate(w.shape):
        if n == 1:
            dw = dw.sum(a, keepdims=True)
    return dy * w, dw


def embedding_backward(dy, ids, table, padding_idx=None, out=None):
    V, H = table.shape
    onehot = np.eye(V)[ids.reshape(-1)]
    g = onehot.T @ dy.reshape(-1, H)
    if padding_idx is not None:
        g[padding_idx] = 0
    if out is not None:
        out += g
        return out
    return g


def sinusoids(length, size):
    P = np.zeros((length, size))
    for t in range(length):
        for c in range(size):
            a = t / 10000 ** (2 * (c // 2) / size)
            P[t, c] = math.sin(a) if c % 2 == 0 else math.cos(a)
    return P


def temperature_softmax(x, tau):
    e = np.exp((x - x.max(-1, keepdims=True)) / tau)
    return e / e.sum(-1, keepdims=True)


def temperature_softmax_backward(dy, x, y, tau):
    du = F.softmax_backward(dy, y)
    return du / tau, float(np.sum(du * -x / tau**2))


def focal_loss(logits, labels, gamma):
    lp = F.log_softmax(logits)
    total = 0.0
    for i, y in enumerate(labels):
        total -= (1 - np.exp(lp[i, y])) ** gamma * lp[i, y]
    return total / len(labels)


def focal_loss_backward(dloss, logits, labels, gamma):
    p = F.softmax(logits)
    n = len(labels)
    out = np.zeros_like(logits)
    for i, y in enumerate(labels):
        py = p[i, y]
        d = gamma * (1 - py) ** (gamma - 1) * py * np.log(py) - (1 - py) ** gamma
        e = np.zeros(logits.shape[1])
        e[y] = 1
        out[i] = dloss / n * d * (e - p[i])
    return out


def sparsemax(x):
    y = np.empty_like(x)
    for i in np.ndindex(x.shape[:-1]):
        z = np.sort(x[i])[::-1]
        c = np.cumsum(z)
        k = max(j for j in range(1, len(z) + 1) if 1 + j * z[j - 1] > c[j - 1])
        y[i] = np.clip(x[i] - (c[k - 1] - 1) / k, 0, None)
    return y


def sparsemax_backward(dy, y):
    s = (y > 0).astype(float)
    return s * dy - s * ((s * dy).sum(-1) / s.sum(-1))[..., None]


def rms_norm(x, weight, eps=1e-6):
    r = np.sqrt(np.linalg.norm(x, axis=-1, keepdims=True) ** 2 / x.shape[-1] + eps)
    return x / r * weight, x / r, 1 / r


def rms_norm_backward(dy, x_hat, inv_rms, weight):
    H = len(weight)
    dxh = dy * weight
    c = x_hat / inv_rms
    ds = (dxh * c).sum(-1, keepdims=True)
    dx = dxh * inv_rms - inv_rms**3 * ds * c / H
    return [dx, np.sum(dy * x_hat, axis=tuple(range(dy.ndim - 1)))]


def swiglu(x, weight, gate):
    a = np.einsum("...h,ih->...i", x, gate)
    return a / (1 + np.exp(-a)) * np.einsum("...h,ih->...i", x, weight)


def swiglu_backward(dy, x, weight, gate):
    a = x @ gate.T
    b = x @ weight.T
    s = 1 / (1 + np.exp(-a))
    da = dy * b * (s + a * s * (1 - s))
    db = dy * a * s
    return (
        da @ gate + db @ weight,
        np.tensordot(db, x, axes=[[0, 1], [0, 1]]),
        np.tensordot(da, x, axes=[[0, 1], [0, 1]]),
    )


def quick_gelu(x):
    return np.where(
        x >= 0, x / (1 + np.exp(-1.702 * np.abs(x))), x * np.exp(-1.702 * np.abs(x)) / (1 + np.exp(-1.702 * np.abs(x)))
    )


def quick_gelu_backward(dy, x):
    s = quick_gelu(x) / x
    return dy * s * (1 + 1.702 * x * (1 - s))


def causal_mask(length):
    return ~np.triu(np.ones((length, length), dtype=bool), k=1)


def relative_bias(scores, table):
    B, A, S, K = scores.shape
    R = (len(table) - 1) // 2
    y = scores.copy()
    for s in range(S):
        for k in range(K):
            y[:, :, s, k] += table[min(max(k - s, -R), R) + R]
    return y


def relative_bias_backward(dy, table):
    B, A, S, K = dy.shape
    R = (len(table) - 1) // 2
    d = np.zeros(table.shape)
    for s in range(S):
        for k in range(K):
            d[min(max(k - s, -R), R) + R] += dy[:, :, s, k].sum(0)
    return dy, d


def rotate(x, positions):
    h = x.shape[-1] // 2
    z = x[..., :h] + 1j * x[..., h:]
    z = z * np.exp(1j * positions[:, None] * 10000.0 ** (-2 * np.arange(h) / x.shape[-1]))
    return np.concatenate([z.real, z.imag], -1)


def rotate_backward(dy, positions):
    return rotate(dy, -np.asarray(positions))


def mask_tokens(
    input_ids,
    special_tokens_mask,
    rng,
    mask_token_id,
    vocab_size,
    mlm_probability=0.15,
    mask_replace_prob=0.8,
    random_replace_prob=0.1,
    continues=None,
):
    ids = np.array(input_ids)
    labels = np.full(ids.shape, -100)
    u = rng.random(ids.shape)
    chosen = (u < mlm_probability) & ~np.array(special_tokens_mask, bool)
    labels[chosen] = ids[chosen]
    v = rng.random(ids.shape)
    words = rng.integers(0, vocab_size, ids.shape)
    ids = np.where(chosen & (v < mask_replace_prob), mask_token_id, ids)
    ids = np.where(chosen & (v >= mask_replace_prob) & (v < mask_replace_prob + random_replace_prob), words, ids)
    return ids, labels


def masked_words_loss(logits, labels):
    total, n = 0.0, 0
    lp = F.log_softmax(logits)
    for i in np.ndindex(labels.shape):
        if labels[i] != -100:
            total -= lp[i][labels[i]]
            n += 1
    return total / n if n else 0.0


def masked_words_loss_backward(dloss, logits, labels):
    d = np.zeros(logits.shape)
    n = (labels != -100).sum()
    for i in np.ndindex(labels.shape):
        if labels[i] != -100:
            d[i] = F.softmax(logits[i])
            d[i][labels[i]] -= 1
    return d * dloss / n if n else d


def is_decayed(name):
    return bool(re.search(r"(?<!LayerNorm)\.weight$", name))


def from_google(tensors):
    out = {}
    for name, a in tensors.items():
        n = name.replace("/", ".")
        n = re.sub(r"layer_(\d+)", r"layer.\1", n)
        if n.endswith("kernel"):
            a = np.transpose(a)
            n = n[:-6] + "weight"
        elif n.endswith("_embeddings"):
            n += ".weight"
        elif n.endswith("gamma"):
            n = n[:-5] + "weight"
        elif n.endswith("beta"):
            n = n[:-4] + "bias"
        n = n.replace("output_bias", "bias").replace("output_weights", "weight")
        out[n] = a
    return out


def attention_rollout(attentions):
    L, B, A, S, _ = attentions.shape
    out = np.stack([np.eye(S)] * B)
    for l in range(L):
        m = sum(attentions[l, :, a] for a in range(A)) / A
        out = np.einsum("bij,bjk->bik", 0.5 * m + 0.5 * np.eye(S), out)
    return out


def head_of_previous(attentions, lengths):
    best, where = -1, None
    L, B, A, S, _ = attentions.shape
    for l in range(L):
        for a in range(A):
            v = [attentions[l, b, a, s, s - 1] for b in range(B) for s in range(1, lengths[b])]
            if np.mean(v) > best:
                best, where = np.mean(v), (l, a)
    return where


def beam_step(totals, log_p, k):
    ways = [(totals[i] + log_p[i, v], i, v) for i in range(len(totals)) for v in range(log_p.shape[1])]
    ways.sort(key=lambda w: -w[0])
    return [w[1] for w in ways[:k]], [w[2] for w in ways[:k]], [w[0] for w in ways[:k]]


def smoothing_floor(classes, epsilon):
    t = np.full(classes, epsilon / classes)
    t[0] += 1 - epsilon
    t = t[t > 0]
    return -np.sum(t * np.log(t))


def linear_schedule(step, total, warmup=0):
    if step < warmup:
        return step / warmup
    return max(0, (total - step) / (total - warmup))


def lion(parameter, gradient, mean, lr, betas, weight_decay):
    u = np.sign(gradient * (1 - betas[0]) + betas[0] * mean)
    p = parameter * (1 - lr * weight_decay) - lr * u
    return p, mean + (1 - betas[1]) * (gradient - mean)


def packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    out, q0, k0 = [], 0, 0
    for b, (nq, nk) in enumerate(zip(query_lengths, lengths, strict=True)):
        q, k, v = (F.split_heads(z[None], heads) for z in (query[q0 : q0 + nq], key[k0 : k0 + nk], value[k0 : k0 + nk]))
        m = None if mask is None else mask[b][:nq, :nk]
        kp = None if keep is None else keep[b : b + 1, :, :nq, :nk]
        y, _ = F.attention(q, k, v, m, kp, p)
        out.append(F.merge_heads(y)[0])
        q0 += nq
        k0 += nk
    return np.concatenate(out)


def accumulated(gradients, counts):
    return np.average(np.stack(gradients), axis=0, weights=counts)


def layer_norm_backward(dy, x_hat, inv_std, weight):
    H = x_hat.shape[-1]
    c = x_hat / inv_std
    g = dy * weight
    dc = g * inv_std
    ds = (g * c).sum(-1, keepdims=True)
    dv = -0.5 * inv_std**3 * ds
    dc = dc + 2 * c / H * dv
    dx = dc - dc.mean(-1, keepdims=True)
    return dx, (dy * x_hat).reshape(-1, H).sum(0), dy.reshape(-1, H).sum(0)


def adamw(
    parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0, out=None
):
    g = gradient * scale
    m = betas[0] * mean + (1 - betas[0]) * g
    v = betas[1] * variance + (1 - betas[1]) * g**2
    mh, vh = m, v
    if bias_correction:
        mh, vh = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    new = parameter - lr * (mh / (np.sqrt(vh) + eps) + weight_decay * parameter)
    return new, m, v
