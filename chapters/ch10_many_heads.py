# %% [markdown]
# # 10 · Many heads: several attentions side by side, and how far they reach
#
# Needs: chapters 03, 04, 08 and 09. Runtime: 5 seconds.
#
# **What you will understand.** Why BERT does not attend once with 768 numbers but twelve times with 64; what a split
# and a merge of heads are, and why a mere `reshape` is not one; the backward of all of it, with its three paths to $x$;
# and, trained before your eyes, that attention fetches a word from forty places away in a single step.

# %%
import numpy as np

from bertnp import AdamW, BertConfig, BertForMaskedLM, inference, plotting
from bertnp.functional import (
    attention,
    attention_backward,
    linear,
    linear_backward,
    mask_heads,
    mask_heads_backward,
    merge_heads,
    merge_heads_backward,
    split_heads,
    split_heads_backward,
)
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show
from bertnp.nn import SelfAttention

# %% [markdown]
# ## The idea
#
# One attention gives each token *one* set of shares, so it can look for one kind of thing. But a verb may want its
# subject and its object, a pronoun the name it stands for, and all of them the word before. So the vector of $H$
# numbers is cut into $A$ pieces of $D = H/A$, and each piece attends for itself: a **head**. Each has its own queries,
# keys, values and shares. Then the pieces are put side by side again, and a last linear map mixes them.
#
# It costs nothing extra. $A$ heads of $D$ numbers need as many multiplications as one of $H = A D$.
#
# ## The formula
#
# **Cut**, $(B, S, H)$ into $(B, A, S, D)$:
#
# $$ y_{b a s d} = x_{b s,\, a D + d} \tag{10.1} $$
#
# No number changes; each gets a new place. So its slope goes back to where the number came from:
#
# $$ dx_{b s,\, a D + d} = dy_{b a s d} \tag{10.2} $$
#
# **Put together** is the reverse, and its backward is the cut again:
#
# $$ y_{b s,\, a D + d} = x_{b a s d} \tag{10.3} $$
#
# $$ dx_{b a s d} = dy_{b s,\, a D + d} \tag{10.4} $$

# %%
show(split_heads, split_heads_backward, merge_heads, merge_heads_backward)

# %% [markdown]
# ## By hand
#
# One sequence of two tokens, $H = 4$, two heads of $D = 2$. The first head gets the first two numbers of *each* token,
# the second the last two:

# %%
x = np.array([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]])  # (B = 1, S = 2, H = 4)
y = split_heads(x, 2)
show(x=x, y=y)
assert y.tolist() == [[[[1, 2], [5, 6]], [[3, 4], [7, 8]]]]
assert np.array_equal(merge_heads(y), x)

# %% [markdown]
# Why does the code first reshape to $(B, S, A, D)$ and then *transpose*? A reshape reads the numbers in the order in
# which they lie in memory and only sets the brackets anew. From $(1, 2, 4)$ straight to $(1, 2, 2, 2)$ it gives a first
# head of $(1, 2)$ and $(3, 4)$: both from token 1. The shape is right, and everything is wrong.

# %%
brackets_only = x.reshape(1, 2, 2, 2)
show(brackets_only=brackets_only)
assert brackets_only.shape == y.shape and not np.array_equal(brackets_only, y)

# %% [markdown]
# ### All of multi-head attention
#
# $$ Y = \operatorname{merge}\big(\operatorname{attention}(\operatorname{split}(x W_Q^{\mathsf T} + b_Q),\
#    \operatorname{split}(x W_K^{\mathsf T} + b_K),\ \operatorname{split}(x W_V^{\mathsf T} + b_V))\big) \tag{10.5} $$
#
# followed by one more linear map, the output projection $W_O$, which ends the half layer together with add-and-norm
# (chapter 08).

# %%
show(SelfAttention)

# %% [markdown]
# Two things there are for speed. The weights of query, key and value lie side by side in memory, so that one product
# of $x$ with a matrix of $3H$ rows makes all three. And the rows of all sequences stand under each other without their
# padding; `packed_attention` sorts them out (chapter 11). Without that, on padded rows, it reads like this:


# %%
def multi_head(x, W, b, heads):
    """x: (B, S, H)   W: (3H, H), b: (3H,): those of query, key and value, one under the other"""
    Q, K, V = (split_heads(part, heads) for part in np.split(linear(x, W, b), 3, axis=-1))
    Y, P = attention(Q, K, V)
    return merge_heads(Y), Q, K, V, P


# %% [markdown]
# ## The backward, step by step
#
# Everything is known already; only the order is new. From the output back:
#
# 1. merge (10.4): $dY$ is cut into heads;
# 2. attention (9.4), each head for itself: $dQ$, $dK$, $dV$;
# 3. split (10.2): each is put together to $(B, S, H)$;
# 4. the linear maps (3.2). $x$ was read three times, so three paths lead back to it, and they add up:
#
# $$ dx = dQ\, W_Q + dK\, W_K + dV\, W_V \tag{a} $$
#
# With the three side by side, that sum *is* the product of $(dQ, dK, dV)$, $3H$ numbers in a row, with the matrix of
# $3H$ rows. Nothing needs to be added by hand.


# %%
def multi_head_backward(dy, x, W, b, heads):
    _, Q, K, V, P = multi_head(x, W, b, heads)
    dQ, dK, dV = attention_backward(merge_heads_backward(dy, heads), Q, K, V, P)
    side_by_side = np.concatenate([split_heads_backward(part) for part in (dQ, dK, dV)], axis=-1)  # (B, S, 3H)
    dx, dW, db = linear_backward(side_by_side, x, W)
    return {"x": dx, "W": dW, "b": db}


# %% [markdown]
# ## Checked

# %%
rng = np.random.RandomState(10)
B, S, A, D = 2, 5, 3, 4
H = A * D
inputs = {"x": rng.randn(B, S, H), "W": rng.randn(3 * H, H) / np.sqrt(H), "b": rng.randn(3 * H)}
report = check(
    lambda x, W, b: multi_head(x, W, b, A)[0],
    lambda dy, x, W, b: multi_head_backward(dy, x, W, b, A),
    inputs,
    rtol=1e-6,
)
print(report)
assert report.ok and check_formula("split_heads").ok and check_formula("merge_heads").ok

# %% [markdown]
# The middle third of $db$ belongs to the keys, and is zero: chapter 09 proved it.

# %%
db = multi_head_backward(rng.randn(B, S, H), **inputs, heads=A)["b"]
assert abs(db[H : 2 * H]).max() < 1e-13 < abs(db[:H]).max()

# %% [markdown]
# ## Two claims, tested, and a use of one
#
# **Heads do not know of each other.** Change the query weights of head 0, and only the first $D$ numbers of each output
# move. What heads find is brought together only afterwards, by $W_O$.

# %%
before = multi_head(**inputs, heads=A)[0]
W = inputs["W"].copy()
W[:D] += rng.randn(D, H)
after = multi_head(inputs["x"], W, inputs["b"], A)[0]
moved = (np.abs(after - before).max(axis=(0, 1)) > 0).astype(int)
print("outputs that moved:", moved)
assert moved.tolist() == [1] * D + [0] * (H - D)

# %% [markdown]
# That makes it possible to ask what a head is good for: turn it down, by a number $\xi$ ("xi") for each head, and see
# what happens to the loss. $\xi = 1$ leaves the head as it is, $\xi = 0$ takes it out:
#
# $$ y_{t,\, aD + d} = \xi_{ta}\; x_{t,\, aD + d} \tag{10.6} $$
#
# $\xi_{ta}$ multiplies $D$ numbers, so its slope is a sum over them; it says, without taking anything out, by how much
# the loss would change:
#
# $$ dx_{t,\, aD + d} = \xi_{ta}\; dy_{t,\, aD + d}, \qquad d\xi_{ta} = \sum_d dy_{t,\, aD + d}\; x_{t,\, aD + d}
#    \tag{10.7} $$

# %%
show(mask_heads, mask_heads_backward)
rows = before.reshape(-1, H)  # (T, H), all tokens under each other
without_head_0 = mask_heads(rows, np.array([0.0, 1.0, 1.0]) + np.zeros((len(rows), A)))
assert (without_head_0[:, :D] == 0).all() and np.array_equal(without_head_0[:, D:], rows[:, D:])
assert check_formula("mask_heads").ok

# %% [markdown]
# **`einsum` says the same in one line.** Some prefer to name the axes rather than to transpose them. It is the same
# sum:

# %%
q, k = rng.randn(B, S, A, D), rng.randn(B, S, A, D)
named = np.einsum("bsad,bkad->bask", q, k)
matmul = q.transpose(0, 2, 1, 3) @ k.transpose(0, 2, 3, 1)
assert np.allclose(named, matmul)

# %% [markdown]
# ## How far does attention reach?
#
# "Self-attention captures long-distance dependencies" stands in every introduction. Let us see it happen. A task that
# can only be solved by looking far: forty random digits; the last one is hidden, and the right answer is *the first*.
# Everything between is of no use.
#
# A BERT of one layer and four heads learns it, once as it is, and once with a mask by which each token sees only eight
# places to either side. (A mask may be a table $(B, S, S)$ of who may read whom. What turns a gradient into a step is
# AdamW, chapter 13; what puts the encoder's vectors into scores of words, chapter 12.)

# %%
S, FIRST_DIGIT, MASK = 40, 5, 4  # the ids: five special tokens, then ten digits
config = BertConfig(
    vocab_size=15, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=S, initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


def far_apart(rng, B=32):
    """Digits (B, S) with the last one masked, and labels (B, S): the first digit, at the last place."""
    ids, labels = FIRST_DIGIT + rng.randint(0, 10, (B, S)), np.full((B, S), -100)
    labels[:, -1] = ids[:, 0]
    ids[:, -1] = MASK
    return ids, labels


def train(reach, steps=90):
    model = BertForMaskedLM(config, seed=0).train()
    optimizer = AdamW(model, lr=0.01)
    rng = np.random.RandomState(0)
    distance = np.abs(np.arange(S)[:, None] - np.arange(S))
    sees = np.broadcast_to(distance <= reach, (32, S, S)).astype(int)
    losses = []
    for _ in range(steps):
        ids, labels = far_apart(rng)
        out = model(ids, attention_mask=sees, labels=labels)
        model.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(out.loss))
    return model.eval(), np.array(losses)


model, everywhere = train(reach=S)
_, nearby = train(reach=8)
print(f"guessing gives ln 10 = {np.log(10):.2f}")
print(f"sees everything:     the loss ends at {everywhere[-10:].mean():.2f}")
print(f"sees 8 to each side: the loss ends at {nearby[-10:].mean():.2f}")
assert everywhere[-10:].mean() < 0.3 and nearby[-10:].mean() > 2.1

# %% [markdown]
# In one step over 39 places: distance means nothing to a scalar product. In a network that passes information from
# each token to the next, it would have to survive 39 steps. With the narrow mask, nothing arrives, and the loss stays
# at guessing.
#
# And where do the heads look? The row of the hidden token:

# %%
ids, labels = far_apart(np.random.RandomState(1), B=8)
with inference():
    out = model(ids, output_attentions=True)
shares = out.attentions[0][:, :, -1].mean(axis=0)  # (A, S): where the last token looks, the mean over 8 sequences
answers = out.logits[:, -1].argmax(axis=-1)
print("right answers:", (answers == labels[:, -1]).sum(), "of 8")
print("share of attention for the first token, by head:", shares[:, 0].round(2))
assert (answers == labels[:, -1]).all() and shares[:, 0].max() > 0.9

# %% [markdown]
# ## The picture
#
# Left: the loss with and without the far sight. Right: where each head of the hidden last token looks, after training.
# No one told them that position 0 matters.

# %%
every = np.arange(len(everywhere))
draw(
    plotting.curves,
    "ch10_long_distance.png",
    panels=[
        {
            "title": "learning to repeat the first of 40 tokens",
            "series": {"sees everything": (every, everywhere), "sees 8 to each side": (every, nearby)},
            "levels": {"guessing: ln 10": np.log(10)},
            "xlabel": "step",
            "ylabel": "loss (nats)",
            "ylim": (0, 3.2),
        },
        {
            "title": "where the last token looks",
            "series": {f"head {head + 1}": (np.arange(S), shares[head]) for head in range(4)},
            "xlabel": "position",
            "ylabel": "share of attention",
            "markers": True,
        },
    ],
    height=3.0,
)

# %% [markdown]
# ## What others do
#
# * **The paper** (Vaswani et al. 2017, section 3.2.2) writes one set of small matrices for each head, $W_i^Q$ of shape
#   $(H, D)$. Put side by side they are our one matrix; so everyone computes it.
# * **Google's code and transformers** keep query, key and value as three layers and multiply three times. Their weights
#   load here unchanged: this library only lays them next to each other.
# * BERT-base has 12 heads of 64, BERT-large 16 of 64. $D = 64$ in nearly every size.
#
# ## Common mistakes
#
# * **`reshape` without `transpose`**, as above. In the merge it is just as wrong, and a loss curve shows neither.
# * **Softmax over the axis of the heads or queries** instead of the keys.
# * **$\sqrt H$ for $\sqrt D$**: each head's scalar product has $D$ terms.
# * **Adding only one of the three paths to $dx$.** The check sees it at once:


# %%
def one_path_only(dy, x, W, b, heads=A):
    right = multi_head_backward(dy, x, W, b, heads)
    _, Q, K, V, P = multi_head(x, W, b, heads)
    dQ, _, _ = attention_backward(merge_heads_backward(dy, heads), Q, K, V, P)
    return {**right, "x": split_heads_backward(dQ) @ W[: x.shape[-1]]}


def reshaped(dy):
    B, A, S, D = dy.shape
    return dy.reshape(B, S, A * D)


report = check(lambda x, W, b: multi_head(x, W, b, A)[0], one_path_only, inputs, rtol=1e-6)
print("one_path_only:", report.sentence, "\n")
assert not report.ok
report = check_formula("split_heads", backward=reshaped)
print("reshaped:", report.sentence)
assert not report.ok

# %% [markdown]
# ## Exercises
#
# **10.1** Write split and merge with their backwards. (`bertnp learn check 10.1`)
#
# **10.2** Write the backward of multi-head attention with three separate linear maps. Check it, and compare $dx$ with
# the one-product version. (`bertnp learn check 10.2`)
#
# **10.3** Two heads look from one token at two different others. Choose values of three tokens such that no single set
# of shares, the same for all $H$ numbers, gives that output.
#
# **10.4** In the experiment, let the label be the digit at a random place that is announced by a token `x` before it.
# Does one layer suffice? Do two? (The first can tell each token what stands before it.)
#
# **10.5** How many parameters does a layer's attention have? Does the number depend on $A$?
#
# **10.6** Write the backward of the switch, (10.7). (`bertnp learn check 10.6`)
