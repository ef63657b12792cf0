# %% [markdown]
# # 11 · The encoder, forwards and backwards: one layer from its parts, a stack of layers, and padding taken out
#
# Needs: chapters 02, 03, 04, 06, 07, 08, 09 and 10. Runtime: 8 seconds.
#
# **What you will understand.** How the parts of the last chapters make one layer of BERT; its whole backward, in which
# the only new thing is *where paths meet*; what a forward must keep for it, and how much memory that is; how a gradient
# spreads from one token to all others on its way down; and how the library leaves padding out of all of this.

# %%
import numpy as np

from bertnp import BertConfig, BertForMaskedLM, plotting
from bertnp.functional import (
    attention,
    attention_backward,
    gather_rows,
    gelu_feed_forward,
    gelu_feed_forward_backward,
    linear,
    linear_backward,
    merge_heads,
    merge_heads_backward,
    packed_attention,
    packed_attention_backward,
    product,
    product_backward,
    residual_norm,
    residual_norm_backward,
    split_heads,
    split_heads_backward,
)
from bertnp.gradcheck import check, check_formula, check_layer, check_model
from bertnp.learn import draw, show
from bertnp.models.bert import BertEncoder, BertLayer
from bertnp.nn import Packing

# %% [markdown]
# ## The idea
#
# A layer has two halves. In the first, tokens *read each other*: many-headed attention (chapter 10). In the second,
# each token *thinks for itself*: the feed-forward network (chapter 07). Both halves end alike: what they found is added
# to what went in, and the sum is normalised (chapter 08).
#
# What comes out has the shape of what went in, $(B, S, H)$: a vector for each token. So layers can be stacked, 12 of
# them in BERT-base. That stack is the **encoder**. In front of it stand the embeddings (chapter 04), behind it whatever
# the vectors are wanted for.
#
# ## The formula
#
# With $\operatorname{heads}(x)$ for all of multi-head attention (10.5), without its output projection:
#
# $$ h = \operatorname{LayerNorm}\big(x + \operatorname{drop}(\operatorname{heads}(x)\, W_O^{\mathsf T} + b_O)\big),
#    \qquad
#    y = \operatorname{LayerNorm}\big(h + \operatorname{drop}(\operatorname{gelu}(h W_1^{\mathsf T} + b_1)\,
#    W_2^{\mathsf T} + b_2)\big) \tag{11.1} $$
#
# $x$, $h$, $y$ are $(B, S, H)$; $W_O$ is $(H, H)$, $W_1$ $(I, H)$ and $W_2$ $(H, I)$, with $I = 4H$. The two layer
# norms have each their own $\gamma$ and $\beta$. In the order of computing, on $(B, S, H)$ and without dropout:


# %%
def encoder_layer(x, mask, W, heads):
    """x: (B, S, H)   mask: (B, 1, 1, S)   W: the weights by name  ->  y, and what the backward will need"""
    qkv = linear(x, W["W_QKV"], W["b_QKV"])  # (B, S, 3H)
    Q, K, V = (split_heads(part, heads) for part in np.split(qkv, 3, axis=-1))  # (B, A, S, D)
    Y, P = attention(Q, K, V, mask)
    c = merge_heads(Y)  # (B, S, H)
    h, *norm1 = residual_norm(product(c, W["W_O"]), W["b_O"], x, W["gamma1"], W["beta1"])
    branch, u = gelu_feed_forward(h, W["W_1"], W["b_1"], W["W_2"])  # u: (B, S, I)
    y, *norm2 = residual_norm(branch, W["b_2"], h, W["gamma2"], W["beta2"])
    return y, (x, Q, K, V, P, c, *norm1, h, u, *norm2)


# %% [markdown]
# ## By hand
#
# A layer whose numbers stay even: two tokens, $H = 4$, one head. All weights are 0, except these. $W_V = W_O = 1$ (the
# identity), so that a token reads the others as they are; queries and keys of 0 give equal shares, so what it reads is
# the mean. The feed-forward network has one inner unit ($I = 1$), which looks at the last number, and
# $W_2 = (\frac23, -\frac43, \frac23, 0)$. In place of GELU we take $\max(u, 0)$, for this once.
#
# | | token 1 | token 2 |
# |---|---|---|
# | $x$ | $(2, 2, -2, 4)$ | $(0, 0, 0, -2)$ |
# | read: the mean of both | $(1, 1, -1, 1)$ | $(1, 1, -1, 1)$ |
# | the sum | $(3, 3, -3, 5)$: chapter 06 had it | $(1, 1, -1, -1)$ |
# | $h$ | $(\frac13, \frac13, -\frac53, 1)$ | $(1, 1, -1, -1)$ |
# | $u$, the last number | $1$ | $-1$ |
# | $\max(u, 0)\, W_2$ | $(\frac23, -\frac43, \frac23, 0)$ | $(0, 0, 0, 0)$ |
# | $y$: the sum is already normal | $(1, -1, -1, 1)$ | $(1, 1, -1, -1)$ |
#
# The library's own layer gives the same:

# %%
tiny = BertConfig(
    vocab_size=1, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=1, hidden_act="relu",
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
layer = BertLayer(tiny).initialize(dtype=np.float64)
for parameter in layer.parameters():
    parameter.data = np.full(parameter.shape, float(parameter.init == "ones"))
layer.attention.self.value.weight.data = layer.attention.output.dense.weight.data = np.eye(4)
layer.intermediate.dense.weight.data = np.array([[0.0, 0.0, 0.0, 1.0]])
layer.output.dense.weight.data = np.array([[2 / 3], [-4 / 3], [2 / 3], [0.0]])

x = np.array([[2.0, 2.0, -2.0, 4.0], [0.0, 0.0, 0.0, -2.0]])
y, P = layer(x, Packing(np.ones((1, 2), bool)), output_attentions=True)
show(x=x, P=P[0, 0], y=y)
assert np.allclose(P, 1 / 2) and np.allclose(y, [[1, -1, -1, 1], [1, 1, -1, -1]])

# %% [markdown]
# ## The backward, step by step
#
# Name the two sums: $s = x + \dots$ and $t = h + \dots$, so $h = \operatorname{LayerNorm}(s)$ and
# $y = \operatorname{LayerNorm}(t)$. A prime marks a backward that a former chapter has derived: $f'(dy)$ is what it
# returns for $dy$. From the end to the beginning:
#
# **Back through the second norm**, by (6.2):
#
# $$ dt = \operatorname{LayerNorm}'(dy) \tag{a} $$
#
# **$t$ is a sum, and $h$ stands in it twice**: as it is, and inside the feed-forward network. Two paths, so two
# gradients that add up (rule 2 of chapter 02):
#
# $$ dh = dt + \operatorname{ffn}'(\operatorname{drop}'(dt)) \tag{b} $$
#
# where $\operatorname{ffn}'$, (7.12), also gives $dW_1$, $db_1$, $dW_2$; and $b_2$, copied to every token, gets
# $db_2 = \sum \operatorname{drop}'(dt)$ over all tokens.
#
# **The first half is the same once more.** Through the norm, then along both paths:
#
# $$ ds = \operatorname{LayerNorm}'(dh), \qquad
#    dx = ds + \operatorname{heads}'(\operatorname{drop}'(ds)\, W_O) \tag{c} $$
#
# with $dW_O = \operatorname{drop}'(ds)^{\mathsf T}\, \operatorname{heads}(x)$. And inside $\operatorname{heads}'$, $x$
# is read three more times, as query, key and value, whose gradients one product adds up (chapter 10). In one line:
#
# $$ dt = \operatorname{LayerNorm}'(dy), \quad dh = dt + \operatorname{ffn}'(\operatorname{drop}'(dt)), \quad
#    ds = \operatorname{LayerNorm}'(dh), \quad
#    dx = ds + \operatorname{heads}'(\operatorname{drop}'(ds)\, W_O) \tag{11.2} $$
#
# As code, next to the forward: `residual_norm_backward` returns what goes into the branch and what goes straight on.


# %%
def encoder_layer_backward(dy, kept, W, heads):
    """dy: (B, S, H), and what `encoder_layer` kept  ->  dx and the gradients of all weights, by name"""
    x, Q, K, V, P, c, x_hat1, inv_std1, h, u, x_hat2, inv_std2 = kept
    G = {}
    dbranch, G["b_2"], dt, G["gamma2"], G["beta2"] = residual_norm_backward(dy, x_hat2, inv_std2, W["gamma2"])  # (a)
    dh, G["W_1"], G["b_1"], G["W_2"] = gelu_feed_forward_backward(dbranch, h, W["W_1"], W["W_2"], u)
    dh = dt + dh  # (b)
    dbranch, G["b_O"], ds, G["gamma1"], G["beta1"] = residual_norm_backward(dh, x_hat1, inv_std1, W["gamma1"])
    dc, G["W_O"] = product_backward(dbranch, c, W["W_O"])
    dQKV = attention_backward(merge_heads_backward(dc, heads), Q, K, V, P)
    side_by_side = np.concatenate([split_heads_backward(part) for part in dQKV], axis=-1)  # (B, S, 3H)
    dx, G["W_QKV"], G["b_QKV"] = linear_backward(side_by_side, x, W["W_QKV"])
    return ds + dx, G  # (c)


# %% [markdown]
# **The numbers of our example.** Let the loss read token 1 alone: $dy_1 = (4, 0, 0, 0)$, $dy_2 = 0$.
#
# With $\hat s$ and $\hat t$ for the normalised sums, the $\hat x$ of (6.2), and $g$ for what arrives, as $\gamma = 1$:
#
# * (a): $\hat t_1 = (1, -1, -1, 1)$, $\operatorname{mean}(g) = \operatorname{mean}(g \hat t) = 1$:
#   $dt_1 = (4, 0, 0, 0) - 1 - (1, -1, -1, 1) = (2, 0, 0, -2)$
# * (b): the inner unit gets $dt_1 \cdot W_2 = \frac43$, and hands it to the last number:
#   $dh_1 = (2, 0, 0, -2) + (0, 0, 0, \frac43) = (2, 0, 0, -\frac23)$
# * (c): with $\hat s_1 = (\frac13, \frac13, -\frac53, 1)$ and the factor $\frac13$: $\operatorname{mean}(g) = \frac13$,
#   $\operatorname{mean}(g \hat s) = 0$, so $ds_1 = \frac19 (5, -1, -1, -3)$
# * Token 1 had read half of itself and half of token 2. So $dx_1 = ds_1 + \frac12 ds_1$, and $dx_2 = \frac12 ds_1$.
#
# Token 2 gets a gradient though the loss never looked at it: it was *read*.

# %%
dx = layer.backward(np.array([[4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
show(dx_times_18=18 * dx)
assert np.allclose(18 * dx, [[15, -3, -3, -9], [5, -1, -1, -3]])

# %% [markdown]
# ## Checked
#
# A batch of two sequences, of three and five tokens; the first is padded. Whatever the layer computes at the two
# places of padding, nobody reads it: so we look at $y$ of the eight real tokens only, and the gradient at the others
# is 0.

# %%
rng = np.random.RandomState(11)
B, S, A, D, I = 2, 5, 2, 4, 12
H = A * D
keep = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)  # (B, S)
mask = keep[:, None, None]  # (B, 1, 1, S): which keys may be read


def some_weights(rng, H, I):
    def around(mean, *shape):
        return mean + 0.3 * rng.randn(*shape)

    return {
        "W_QKV": rng.randn(3 * H, H) / np.sqrt(H), "b_QKV": around(0, 3 * H),
        "W_O": rng.randn(H, H) / np.sqrt(H), "b_O": around(0, H), "gamma1": around(1, H), "beta1": around(0, H),
        "W_1": rng.randn(I, H) / np.sqrt(H), "b_1": around(0, I),
        "W_2": rng.randn(H, I) / np.sqrt(I), "b_2": around(0, H), "gamma2": around(1, H), "beta2": around(0, H),
    }  # fmt: skip


def real_tokens(x, **W):
    return encoder_layer(x, mask, W, A)[0][keep]  # (T, H), T = 8


def real_tokens_backward(dy, x, **W):
    padded = np.zeros((B, S, H))
    padded[keep] = dy
    dx, G = encoder_layer_backward(padded, encoder_layer(x, mask, W, A)[1], W, A)
    return {"x": dx, **G}


W, x = some_weights(rng, H, I), rng.randn(B, S, H)
report = check(real_tokens, real_tokens_backward, {"x": x, **W}, rtol=1e-6)
print(report)
assert report.ok

# %% [markdown]
# The library's layer does the same (if you leave aside `queries`, which saves work where only some tokens of the last
# layer are wanted, and the branch for activations other than GELU). `packing` we shall come to.

# %%
show(BertLayer)

# %% [markdown]
# ## The stack
#
# Layer $l$ takes what layer $l-1$ put out; $x^{(0)}$ comes from the embeddings. On the way back, what one layer returns
# as $dx$ is the $dy$ of the one below. There are no other paths: each layer is read by the next one alone.
# (`packing.asked` and `packing.into_last` belong to the saving of work in the last layer; leave them aside.)
#
# $$ x^{(l)} = \operatorname{layer}_l(x^{(l-1)}),\ l = 1 \dots L; \qquad
#    dx^{(l-1)} = \operatorname{layer}_l'(dx^{(l)}),\ l = L \dots 1 \tag{11.3} $$

# %%
show(BertEncoder)

# %% [markdown]
# A whole model, embeddings and masked-word head included, with dropout on and padding in the batch: every one of its
# tensors is checked.

# %%
small = BertConfig(
    vocab_size=13, hidden_size=6, num_hidden_layers=2, num_attention_heads=2, intermediate_size=11,
    max_position_embeddings=7, hidden_dropout_prob=0.25, attention_probs_dropout_prob=0.25,
)  # fmt: skip
ids = np.array([[2, 5, 5, 9, 3], [2, 7, 5, 0, 0]])
batch = {"input_ids": ids, "attention_mask": (ids > 0).astype(int), "labels": np.where(ids == 5, 8, -100)}
report = check_model(BertForMaskedLM(small, dtype=np.float64).train(), batch)
print(f"{len(report.rows)} tensors:", "every gradient is right" if report.ok else report.sentence)
assert report.ok and len(report.rows) > 30

# %% [markdown]
# ### What a forward must keep
#
# Until the backward comes, everything that it will need has to stay in memory, in every layer: that, not the weights,
# is what fills it. Our `encoder_layer` returns it; count the numbers:

# %%
y, kept = encoder_layer(x, mask, W, A)
names = "x Q K V P c x_hat1 inv_std1 h u x_hat2 inv_std2".split()
for name, array in zip(names, kept, strict=True):
    print(f"{name:9} {str(array.shape):14} {array.size:4}")
numbers = sum(array.size for array in kept)
assert numbers == B * S * (8 * H + I + 2 + A * S)

# %% [markdown]
# So it is $8H + I + 2$ numbers for each token, and $A\,S$ more for its shares of attention, which alone grow with the
# length of the sequence. In BERT-base, for 32 sequences of 512 tokens, in float32:

# %%
B_, S_, H_, A_, L_ = 32, 512, 768, 12, 12
without, shares = 8 * H_ + 4 * H_ + 2, A_ * S_
gigabytes = 4e-9 * B_ * S_ * L_
print(f"without the shares {without * gigabytes:.1f} GB, the shares {shares * gigabytes:.1f} GB")
assert abs(without * gigabytes - 7.25) < 0.01 and abs(shares * gigabytes - 4.83) < 0.01

# %% [markdown]
# The shares would be two fifths of it all, and they are easy to compute again from $Q$ and $K$. So the library throws
# them away and does that, as `packed_attention_backward` below shows.
#
# ## Padding taken out
#
# So far every sequence was filled up to length $S$, and padding went through all the products only for its results to
# be thrown away. In a batch of sentences of different lengths that can be more than half of all work. But look where
# tokens meet at all: linear maps, GELU, dropout, layer norm and sums treat every token by itself. *Only attention*
# needs to know which tokens are of one sequence.
#
# So put the real tokens of all sequences under each other, as rows $(T, H)$, $T$ of them in all: those are the rows of
# $x$ at which `keep` is true, picked by (4.4). Everything else in (11.1) stays as it is.

# %%
rows = np.flatnonzero(keep)  # (T,), places in B·S
x_rows = gather_rows(x.reshape(B * S, H), rows)  # (T, H)
lengths = keep.sum(axis=1)
print("places of the real tokens:", rows, "  lengths of the sequences:", lengths)
assert np.array_equal(x_rows, x[keep]) and lengths.tolist() == [3, 5]

# %% [markdown]
# And attention goes from sequence to sequence. With $Q_b$, $K_b$, $V_b$ for the rows of sequence $b$:
#
# $$ y_b = \operatorname{merge}\big(\operatorname{attention}(\operatorname{split}(Q_b),\ \operatorname{split}(K_b),\
#    \operatorname{split}(V_b))\big) \quad \text{for each sequence } b \tag{11.4} $$

# %%
show(packed_attention)

# %% [markdown]
# `in_front` puts each sequence's rows to the front of its own places, (T, H) to (B, K, H) with K the longest length;
# `readable` gives the mask of those places. So padding comes back for this one step only. (That is the version to
# read. The fast ones for CPU and GPU really go from sequence to sequence, and have no padding anywhere.)
#
# Back, the same way for each sequence. $P$ was not kept: it is computed again, and that is all the price.
#
# $$ (dQ_b, dK_b, dV_b) = \operatorname{attention}'(dy_b) \quad \text{for each sequence } b \tag{11.5} $$

# %%
show(packed_attention_backward)
report = check_formula("packed_attention")
print(f"{len(report.rows)} gradients:", "ok" if report.ok else report.sentence)
assert report.ok

# %% [markdown]
# Is it the same layer? Give the library's `BertLayer` our weights and the rows without padding, and compare with what
# we derived on $(B, S, H)$: outputs, and every gradient.

# %%
config = BertConfig(
    vocab_size=1, hidden_size=H, num_hidden_layers=1, num_attention_heads=A, intermediate_size=I,
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
layer = BertLayer(config).initialize(dtype=np.float64)
one, two, half = layer.attention.self, layer.attention.output, layer.output
for part, weight, bias in zip((one.query, one.key, one.value), np.split(W["W_QKV"], 3), np.split(W["b_QKV"], 3),
                              strict=True):  # fmt: skip
    part.weight.data, part.bias.data = weight, bias
same = {
    "W_O": two.dense.weight, "b_O": two.dense.bias, "gamma1": two.LayerNorm.weight, "beta1": two.LayerNorm.bias,
    "W_1": layer.intermediate.dense.weight, "b_1": layer.intermediate.dense.bias, "W_2": half.dense.weight,
    "b_2": half.dense.bias, "gamma2": half.LayerNorm.weight, "beta2": half.LayerNorm.bias,
}  # fmt: skip
for name, parameter in same.items():
    parameter.data = W[name]

dy = rng.randn(len(rows), H)
y_rows, _ = layer(x_rows, Packing(keep))
dx_rows = layer.backward(dy)
G = real_tokens_backward(dy, x, **W)
joined = np.concatenate([part.weight.grad for part in (one.query, one.key, one.value)])
differences = {name: abs(parameter.grad - G[name]).max() for name, parameter in same.items()}
print("outputs differ by", abs(y_rows - real_tokens(x, **W)).max(), " gradients by", max(differences.values()))
assert np.allclose(y_rows, real_tokens(x, **W), rtol=0, atol=1e-12)
assert np.allclose(dx_rows, G["x"][keep], rtol=0, atol=1e-12) and (G["x"][~keep] == 0).all()
assert max(differences.values()) < 1e-12 and np.allclose(joined, G["W_QKV"], rtol=0, atol=1e-12)
assert check_layer(layer, x_rows, Packing(keep)).ok

# %% [markdown]
# ## Three claims, tested
#
# **Padding changes nothing.** Neither what stands there nor how much of it there is. Twenty more places of padding,
# filled with huge numbers:

# %%
longer = np.concatenate([x, 1e6 * rng.randn(B, 20, H)], axis=1)
longer_mask = np.concatenate([mask, np.zeros((B, 1, 1, 20), bool)], axis=3)
y_longer, _ = encoder_layer(longer, longer_mask, W, A)
assert np.allclose(y_longer[:, :S][keep], y[keep], rtol=0, atol=1e-12)

# %% [markdown]
# **What it costs.** Lengths as they come, padded to the longest. In each layer a token needs $12 H^2$ multiplications
# in the linear maps, $4H^2$ for attention and $8H^2$ for the feed-forward network; and $2nH$ in attention, where it
# meets $n$ tokens twice.

# %%
several = np.array([7, 12, 9, 31, 15, 8, 64, 11])
padded = len(several) * several.max() * (12 * H_**2 + 2 * several.max() * H_)
packed = (several * (12 * H_**2 + 2 * several * H_)).sum()
print(f"multiplications without padding: {packed / padded:.0%} of those with it")
assert 0.30 < packed / padded < 0.31

# %% [markdown]
# **Sequences do not know of each other**, although they stand under each other in one array. Change a token of the
# second sequence: no output of the first moves, not by a bit.

# %%
moved = x_rows.copy()
moved[-1] += 1
y_moved, _ = layer(moved, Packing(keep))
assert np.array_equal(y_moved[:3], y_rows[:3]) and not np.allclose(y_moved[3:], y_rows[3:])

# %% [markdown]
# ## The picture
#
# Six layers with random weights, one sentence, two places of padding. Left, forward: nudge the vector of one word below
# and see how far each token's vector moves, layer by layer. Right, backward: the loss reads that one word at the top,
# and we see how long the gradient is at each token of each layer. (Each line is scaled to its largest.)
#
# Both begin with a single word and end with all of them. A single layer is enough to reach everybody; but most stays
# where it was, because of the residual. And padding has no part in it, in either direction.

# %%
words = "[CLS] the cat saw a dog [SEP] [PAD] [PAD]".split()
H, I, A, DEPTH, WORD = 32, 64, 4, 6, 5
stack = [some_weights(rng, H, I) for _ in range(DEPTH)]
visible = np.array([word != "[PAD]" for word in words])


def run(x):
    states, kepts = [x], []
    for W in stack:
        y, kept = encoder_layer(states[-1], visible[None, None, None], W, A)
        states.append(y)
        kepts.append(kept)
    return np.concatenate(states), kepts  # (L + 1, S, H)


x = rng.randn(1, len(words), H)
nudged = x.copy()
nudged[0, WORD] += 1e-4 * rng.randn(H)
moves = np.linalg.norm(run(nudged)[0] - run(x)[0], axis=-1) * visible  # what padding computes, nobody reads

gradient = np.zeros_like(x)
gradient[0, WORD] = rng.randn(H)
gradients = [gradient]
for W, kept in zip(reversed(stack), reversed(run(x)[1]), strict=True):
    gradients.append(encoder_layer_backward(gradients[-1], kept, W, A)[0])
lengths_of = np.linalg.norm(np.concatenate(gradients[::-1]), axis=-1)
assert (lengths_of[:, ~visible] == 0).all()
assert (lengths_of[-1] > 0).sum() == 1 and (lengths_of[-2] > 0).sum() == visible.sum() == (moves[1] > 0).sum()
assert (lengths_of.argmax(axis=1) == WORD).all()

upwards = slice(None, None, -1)  # layer 6 on top
draw(
    plotting.matrices,
    "ch11_spreading.png",
    panels=[
        {
            "title": title,
            "values": (table / table.max(axis=1, keepdims=True))[upwards],
            "rows": [f"layer {depth}" if depth else "embeddings" for depth in range(DEPTH + 1)][upwards],
            "columns": words,
        }
        for title, table in (("forward: 'dog' was nudged below", moves), ("backward: the loss reads 'dog'", lengths_of))
    ],
    shares=True,
    height=3.4,
    number="{:.1f}",
    unit="length, of the largest in its line",
)

# %% [markdown]
# ## What others do
#
# * **The papers** (Vaswani et al. 2017, section 3.1; Devlin et al. 2019, section 3) describe exactly (11.1); BERT
#   replaced ReLU by GELU.
# * **Google's code** also puts the tokens of all sequences under each other, as $(B \cdot S, H)$, but with their
#   padding: it saves reshaping, not work.
# * **transformers** computes on $(B, S, H)$, padding included, and what it puts out at places of padding are numbers
#   without meaning. Here they are zeros. To compare two implementations, compare where the mask is 1.
# * Others who leave padding out speak of *unpadding* or of *variable-length attention*.
#
# ## Common mistakes
#
# In each half two gradients meet. To forget one is the commonest mistake of the backward:


# %%
H, I, A = 8, 12, 2
W, x = some_weights(rng, H, I), rng.randn(B, S, H)


def no_way_around(dy, x, **W):
    right = real_tokens_backward(dy, x, **W)
    padded = np.zeros((B, S, H))
    padded[keep] = dy
    kept = encoder_layer(x, mask, W, A)[1]
    _, _, dt, _, _ = residual_norm_backward(padded, *kept[-2:], W["gamma2"])
    dh, _, _, _ = gelu_feed_forward_backward(dt, kept[8], W["W_1"], W["W_2"], kept[9])
    _, _, ds, _, _ = residual_norm_backward(dt + dh, *kept[6:8], W["gamma1"])
    return {**right, "x": right["x"] - ds}  # as if x were read by the heads alone


def all_as_one(dy, query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    together = np.array([len(query)]), np.array([len(key)])
    return packed_attention_backward(dy, query, key, value, *together, heads)


for report in (
    check(real_tokens, no_way_around, {"x": x, **W}, rtol=1e-6),
    check_formula("packed_attention", backward=all_as_one),
):
    print(report.sentence, "\n")
    assert not report.ok

# %% [markdown]
# Others: walking the stack from the first layer to the last in the backward; one layer object used twice, so that the
# second forward overwrites what the first has kept (the library raises an error); writing into an array that has been
# kept, `x += branch`, before the backward has read it; comparing with another program at places of padding.
#
# ## Exercises
#
# **11.1** Write the backward of a layer from (11.2), without looking, and check it as above.
# (`bertnp learn check 11.1`)
#
# **11.2** Do by hand the backward of our example for $dy_1 = 0$, $dy_2 = (4, 0, 0, 0)$. What does the feed-forward
# network add to it, and why? ($dx_1 = (1, -1, 0, 0)$, $dx_2 = (3, -3, 0, 0)$.)
#
# **11.3** How many numbers must be kept if each layer keeps only its input $x$, and computes the rest again in the
# backward? How much longer does a training step take, if a backward costs twice a forward?
#
# **11.4** Write `packed_attention` as a loop over sequences, without any padding, and compare.
# (`bertnp learn check 11.4`)
#
# **11.5** How many parameters has a layer of BERT-base? And all twelve? (7,087,872 and 85,054,464.)
#
# **11.6** Write a test that finds out whether an encoder reads its padding. It is judged by twelve encoders with a
# leak, and must accept those without. (`bertnp learn check 11.6`)
