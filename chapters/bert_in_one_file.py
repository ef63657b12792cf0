"""BERT in one file, with nothing but NumPy: forward, backward, both losses, AdamW.

This is all of the model of Devlin et al. 2019 at once; the chapters take it apart. A test compares the loss and every
gradient with the library's.

B sequences of S tokens; L layers of A heads; H hidden size, D = H / A, I intermediate size; V words; N masked ones.
P holds the parameters under the names of the published checkpoints, G their gradients under the same names. A forward
returns its output and what its backward will need. A backward takes the gradient of that output and what was kept,
adds to G, and returns the gradient of the input. dx is always the gradient of the loss by x.

    python chapters/bert_in_one_file.py        learns eight sentences by heart
"""

import math

import numpy as np

EMBEDDINGS, POOLER, MASKED, NEXT = "bert.embeddings.", "bert.pooler.dense", "cls.predictions.", "cls.seq_relationship"
WORDS, POSITIONS, TYPES = (f"{EMBEDDINGS}{kind}_embeddings.weight" for kind in ("word", "position", "token_type"))
PAD, UNLABELLED = 0, -100
erf = np.vectorize(math.erf, otypes=[float])  # slow, but NumPy has none


def new_parameters(V, H, L, I, positions=512, types=2, seed=0):
    """Normal numbers of standard deviation 0.02, biases 0, layer norms 1 and 0; the padding word's row is 0."""
    rng, P = np.random.RandomState(seed), {}

    def linear(name, outputs, inputs):
        P[name + ".weight"], P[name + ".bias"] = 0.02 * rng.randn(outputs, inputs), np.zeros(outputs)

    def norm(name):
        P[name + ".weight"], P[name + ".bias"] = np.ones(H), np.zeros(H)

    for name, rows in ((WORDS, V), (POSITIONS, positions), (TYPES, types)):
        P[name] = 0.02 * rng.randn(rows, H)
    P[WORDS][PAD] = 0
    norm(EMBEDDINGS + "LayerNorm")
    for layer in range(L):
        name = f"bert.encoder.layer.{layer}."
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{name}attention.{part}", H, H)
        norm(name + "attention.output.LayerNorm")
        linear(name + "intermediate.dense", I, H)
        linear(name + "output.dense", H, I)
        norm(name + "output.LayerNorm")
    linear(POOLER, H, H)
    linear(MASKED + "transform.dense", H, H)
    norm(MASKED + "transform.LayerNorm")
    P[MASKED + "bias"] = np.zeros(V)  # the weight beside it is the table of words, used a second time
    linear(NEXT, 2, H)
    return P


def linear(P, name, x):
    """y = x Wᵀ + b"""
    return x @ P[name + ".weight"].T + P[name + ".bias"]


def linear_backward(P, G, name, dy, x):
    """dx = dy W,  dW = dyᵀ x,  db = Σ dy, over all tokens"""
    rows = dy.reshape(-1, dy.shape[-1])
    G[name + ".weight"] += rows.T @ x.reshape(-1, x.shape[-1])
    G[name + ".bias"] += rows.sum(axis=0)
    return dy @ P[name + ".weight"]


def layer_norm(P, name, x, eps=1e-12):
    """y = γ x̂ + β,  x̂ = (x - μ) / √(σ² + ε)"""
    centred = x - x.mean(axis=-1, keepdims=True)
    inv_std = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    x_hat = centred * inv_std
    return P[name + ".weight"] * x_hat + P[name + ".bias"], (x_hat, inv_std)


def layer_norm_backward(P, G, name, dy, kept):
    """dx = (g - mean(g) - x̂ mean(g x̂)) / √(σ² + ε),  g = γ dy"""
    x_hat, inv_std = kept
    G[name + ".weight"] += (dy * x_hat).reshape(-1, dy.shape[-1]).sum(axis=0)
    G[name + ".bias"] += dy.reshape(-1, dy.shape[-1]).sum(axis=0)
    g = P[name + ".weight"] * dy
    return inv_std * (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True))


def gelu(x):
    """y = x Φ(x)"""
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def gelu_backward(dy, x):
    """dx = dy (Φ(x) + x φ(x))"""
    return dy * (0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi))


def softmax(x):
    """y_j = exp(x_j) / Σ exp(x_k); the largest is subtracted first, which changes nothing but prevents overflow"""
    exps = np.exp(x - x.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


def softmax_backward(dy, y):
    """dx_j = y_j (dy_j - Σ dy_k y_k)"""
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def cross_entropy(logits, labels):
    """L = mean of -log softmax(logits)[label]; and dlogits = (softmax(logits) - onehot(label)) / n"""
    p, rows = softmax(logits), np.arange(len(labels))
    dlogits = p.copy()
    dlogits[rows, labels] -= 1
    return -np.log(p[rows, labels]).mean(), dlogits / len(labels)


def dropout(shape, p, rng):
    """What to multiply by: 0 with probability p, else 1 / (1 - p); the same again in the backward."""
    return (rng.random_sample(shape) >= p) / (1 - p) if p else 1.0


def split(x, A):
    """(B, S, H) -> (B, A, S, D)"""
    B, S, H = x.shape
    return x.reshape(B, S, A, H // A).swapaxes(1, 2)


def merge(x):
    """(B, A, S, D) -> (B, S, H)"""
    B, A, S, D = x.shape
    return x.swapaxes(1, 2).reshape(B, S, A * D)


def attention(P, name, x, mask, A, p, rng):
    """merge(softmax(Q Kᵀ / √D) V) with Q, K, V linear in x; mask (B, S) says which tokens may be looked at"""
    q, k, v = (split(linear(P, f"{name}.{part}", x), A) for part in ("query", "key", "value"))  # (B, A, S, D)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])  # (B, A, S, S)
    shares = softmax(np.where(mask[:, None, None, :], scores, -np.inf))
    drop = dropout(shares.shape, p, rng)
    return merge((shares * drop) @ v), (x, q, k, v, shares, drop)


def attention_backward(P, G, name, dy, kept):
    x, q, k, v, shares, drop = kept
    dy = split(dy, q.shape[1])  # (B, A, S, D)
    dv = (shares * drop).swapaxes(-1, -2) @ dy
    dscores = softmax_backward(dy @ v.swapaxes(-1, -2) * drop, shares) / math.sqrt(q.shape[-1])
    gradients = {"query": dscores @ k, "key": dscores.swapaxes(-1, -2) @ q, "value": dv}
    return sum(linear_backward(P, G, f"{name}.{part}", merge(g), x) for part, g in gradients.items())


def layer(P, name, x, mask, A, p, rng):
    """h = LayerNorm(x + attention(x)),  y = LayerNorm(h + gelu(h W₁ᵀ + b₁) W₂ᵀ + b₂), both with dropout"""
    context, of_attention = attention(P, name + "attention.self", x, mask, A, p, rng)
    drop1 = dropout(x.shape, p, rng)
    h, norm1 = layer_norm(
        P, name + "attention.output.LayerNorm", x + drop1 * linear(P, name + "attention.output.dense", context)
    )
    u = linear(P, name + "intermediate.dense", h)  # (B, S, I)
    a = gelu(u)
    drop2 = dropout(x.shape, p, rng)
    y, norm2 = layer_norm(P, name + "output.LayerNorm", h + drop2 * linear(P, name + "output.dense", a))
    return y, (of_attention, context, drop1, norm1, h, u, a, drop2, norm2)


def layer_backward(P, G, name, dy, kept):
    of_attention, context, drop1, norm1, h, u, a, drop2, norm2 = kept
    dsum = layer_norm_backward(P, G, name + "output.LayerNorm", dy, norm2)
    da = linear_backward(P, G, name + "output.dense", drop2 * dsum, a)
    dh = dsum + linear_backward(P, G, name + "intermediate.dense", gelu_backward(da, u), h)
    dsum = layer_norm_backward(P, G, name + "attention.output.LayerNorm", dh, norm1)
    dcontext = linear_backward(P, G, name + "attention.output.dense", drop1 * dsum, context)
    return dsum + attention_backward(P, G, name + "attention.self", dcontext, of_attention)


def forward(P, ids, types, mask, labels, is_random_next, A, p=0.0, rng=None):
    """The sum of both losses of pre-training, and what backward needs.

    ids, types, mask: (B, S) words, segments, 1 for tokens and 0 for padding   labels: (B, S) the words under the
    masks, -100 elsewhere   is_random_next: (B,) 0: the second segment follows the first, 1: it doesn't
    """
    x = P[WORDS][ids] + P[TYPES][types] + P[POSITIONS][: ids.shape[1]]
    x, norm = layer_norm(P, EMBEDDINGS + "LayerNorm", x)
    drop = dropout(x.shape, p, rng)
    h, layers = x * drop, []
    for number in range(count_layers(P)):
        h, kept = layer(P, f"bert.encoder.layer.{number}.", h, mask != 0, A, p, rng)
        layers.append(kept)
    rows = np.nonzero(labels != UNLABELLED)
    masked = h[rows]  # (N, H): only where a word is to be found
    u = linear(P, MASKED + "transform.dense", masked)
    t, head_norm = layer_norm(P, MASKED + "transform.LayerNorm", gelu(u))
    word_loss, dlogits = cross_entropy(t @ P[WORDS].T + P[MASKED + "bias"], labels[rows])  # (N, V)
    pooled = np.tanh(linear(P, POOLER, h[:, 0]))  # (B, H): the first token, [CLS], speaks for the sequence
    next_loss, dnext = cross_entropy(linear(P, NEXT, pooled), is_random_next)
    kept = ids, types, norm, drop, layers, h, rows, masked, u, t, head_norm, dlogits, pooled, dnext
    return word_loss + next_loss, kept


def backward(P, kept):
    """The gradient of the loss by every parameter: the forward, read from the last line to the first."""
    ids, types, norm, drop, layers, h, rows, masked, u, t, head_norm, dlogits, pooled, dnext = kept
    G = {name: np.zeros_like(values) for name, values in P.items()}
    dh = np.zeros_like(h)
    dpooled = linear_backward(P, G, NEXT, dnext, pooled)
    dh[:, 0] = linear_backward(P, G, POOLER, dpooled * (1 - pooled**2), h[:, 0])
    G[MASKED + "bias"] += dlogits.sum(axis=0)
    G[WORDS] += dlogits.T @ t
    dt = layer_norm_backward(P, G, MASKED + "transform.LayerNorm", dlogits @ P[WORDS], head_norm)
    dh[rows] += linear_backward(P, G, MASKED + "transform.dense", gelu_backward(dt, u), masked)
    for number in reversed(range(len(layers))):
        dh = layer_backward(P, G, f"bert.encoder.layer.{number}.", dh, layers[number])
    dx = layer_norm_backward(P, G, EMBEDDINGS + "LayerNorm", dh * drop, norm)  # (B, S, H)
    G[POSITIONS][: ids.shape[1]] += dx.sum(axis=0)
    np.add.at(G[TYPES], types, dx)  # a row that was read twice gets both gradients
    np.add.at(G[WORDS], ids, dx * (ids != PAD)[..., None])  # but the padding word learns nothing by being read
    return G


def count_layers(P):
    return sum(name.endswith("attention.self.query.weight") for name in P)


def adamw(P, G, state, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
    """m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  θ ← θ - lr (m̂ / (√v̂ + ε) + λ θ); no decay for vectors"""
    state["step"] = t = state.get("step", 0) + 1
    for name, g in G.items():
        m, v = state.get(name, (0.0, 0.0))
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        state[name] = m, v
        decay = weight_decay if P[name].ndim > 1 else 0.0
        update = m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        P[name] -= lr * (update + decay * P[name])


if __name__ == "__main__":
    rng = np.random.RandomState(0)
    B, S, V = 8, 12, 50
    ids = rng.randint(5, V, (B, S))
    labels = np.where(rng.random_sample((B, S)) < 0.3, ids, UNLABELLED)
    ids[labels != UNLABELLED] = 4  # [MASK]
    types, mask, is_random_next = np.arange(S) // 6 + 0 * ids, np.ones((B, S)), rng.randint(0, 2, B)
    P, state = new_parameters(V, H=32, L=2, I=64, positions=S), {}
    for step in range(101):
        loss, kept = forward(P, ids, types, mask, labels, is_random_next, A=4)
        if step % 20 == 0:
            print(f"step {step:3d}   loss {loss:.4f}   (it begins near ln {V} + ln 2 = {math.log(2 * V):.4f})")
        adamw(P, backward(P, kept), state, lr=5e-3)
