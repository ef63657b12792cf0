# %% [markdown]
# # 09 · Scaled dot-product attention: how tokens look at each other, and masks
#
# Needs: chapters 02, 03, 05 and 08. Runtime: 2 seconds.
#
# **What you will understand.** The step in which words learn of each other: queries, keys and values; why scores are
# divided by $\sqrt D$; how a mask hides padding, and a proof by number that it does; the whole backward, from two
# products of matrices and a softmax; and why the offset of the keys never learns anything.

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import (
    attention,
    attention_backward,
    masked_softmax,
    masked_softmax_backward,
    softmax,
    softmax_backward,
)
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# Up to now each token was by itself. In attention, each token collects something from the others. Three vectors of
# each token take part, made from it by three linear maps (chapter 10):
#
# * its **query**: what it is looking for;
# * its **key**: what it has to offer, as a label to be found by;
# * its **value**: what it hands over when it is looked at.
#
# A query is compared with every key by a scalar product: large where both point the same way. A softmax makes shares of
# these scores, and the token gets the mean of all values, weighted by the shares. It is a look-up in a dictionary,
# except that every entry answers a little. In one step a token can reach any other, near or far.
#
# ## The formula
#
# A row for each token: $Q$ $(S, D)$, $K$ and $V$ $(K, D)$, with $S$ queries, $K$ keys, and $D$ numbers in each vector.
# (The letter $K$ has two jobs, as everywhere in the field: in formulas it is the matrix, in shapes the number of its
# rows.)
#
# $$ Y = P\, V, \qquad P = \operatorname{softmax}\!\left( \frac{Q K^{\mathsf T}}{\sqrt D} \right) \text{ over the keys}
# $$
#
# $P$ $(S, K)$ has a row of shares for each query; each row adds up to 1.
#
# **Why $\sqrt D$?** Take vectors of independent random numbers with variance 1. Each product $q_d k_d$ has variance 1,
# and the scalar product, a sum of $D$ of them, has variance $D$: scores of about $\pm\sqrt D$, which is $\pm 8$ in
# BERT. A softmax of such scores gives nearly everything to one key, and there its slope is next to nothing (chapter
# 05). Divided by $\sqrt D$, scores have variance 1, whatever $D$ is.

# %%
rng = np.random.RandomState(9)
q, k = rng.randn(500, 64), rng.randn(20, 64)
scores = q @ k.T
print(f"variance of the scores: {scores.var():.1f}, divided by 8: {(scores / 8).var():.2f}")
plain, scaled = softmax(scores).max(axis=1).mean(), softmax(scores / 8).max(axis=1).mean()
print(f"the largest of 20 shares is on average {plain:.2f}, with scaling {scaled:.2f}")
assert abs((scores / 8).var() - 1) < 0.1 and plain > 0.75 and scaled < 0.35

# %% [markdown]
# ### Masks
#
# Rows of a batch are filled up with padding (chapter 01), which nobody should look at. So a softmax is needed in which
# some keys do not take part. With $m_j$ 1 for a key that may be read and else 0:
#
# $$ y_j = \frac{m_j\, e^{x_j}}{\sum_k m_k\, e^{x_k}} \tag{9.1} $$
#
# That is the softmax of the allowed ones, and 0 for the others. If no key at all is allowed, all are 0.

# %%
show(masked_softmax)
x, mask = np.log([[1.0, 2.0, 5.0]]), np.array([True, True, False])
y = masked_softmax(x, mask)
assert np.allclose(y, [[1 / 3, 2 / 3, 0]])
assert (masked_softmax(x, np.zeros(3, bool)) == 0).all()

# %% [markdown]
# Its backward is that of softmax, (5.2), as it stands: where $y_j = 0$ it gives 0 by itself.
#
# $$ dx_j = y_j \Big( dy_j - \sum_k dy_k\, y_k \Big) \tag{9.2} $$

# %%
show(masked_softmax_backward)
assert masked_softmax_backward(np.array([[3.0, 0.0, 99.0]]), y)[0, 2] == 0

# %% [markdown]
# ### All of it
#
# BERT also drops some of the shares in training (chapter 08). With $M$ for the mask:
#
# $$ Y = \operatorname{drop}(P)\, V, \qquad
#    P = \operatorname{softmax}_M\!\left( \frac{Q K^{\mathsf T}}{\sqrt D} \right) \tag{9.3} $$

# %%
show(attention)

# %% [markdown]
# The axes in front are $B$, sequences, and $A$, heads (chapter 10); every one of the $B \cdot A$ is computed for
# itself.
#
# ## By hand
#
# One sequence, one head; two queries, three keys, $D = 4$, so that $\sqrt D = 2$. The keys are chosen to pick out one
# component of the query each, and the first query so that its scores are $\ln 1, \ln 2, \ln 5$. Chapter 05 has the
# shares: $\frac18, \frac14, \frac58$. The second query is 0: all scores are equal, so are the shares.

# %%
Q = np.array([[0.0, 2 * np.log(2), 2 * np.log(5), 0.0], [0.0, 0.0, 0.0, 0.0]])[None, None]  # (1, 1, S = 2, D = 4)
K = np.eye(4)[None, None, :3]  # (1, 1, K = 3, D = 4)
V = 8 * np.eye(4)[None, None, :3]
Y, P = attention(Q, K, V)
show(P=P[0, 0], Y=Y[0, 0])
assert np.allclose(P[0, 0], [[1 / 8, 1 / 4, 5 / 8], [1 / 3, 1 / 3, 1 / 3]])
assert np.allclose(Y[0, 0], [[1, 2, 5, 0], [8 / 3, 8 / 3, 8 / 3, 0]])

Y, P = attention(Q, K, V, mask=np.array([True, True, False]))
show(P_without_key_3=P[0, 0])
assert np.allclose(P[0, 0], [[1 / 3, 2 / 3, 0], [1 / 2, 1 / 2, 0]])

# %% [markdown]
# ## The backward, step by step
#
# Three steps: scores, softmax, mixing of values. The table of scores we call $Z = Q K^{\mathsf T}/\sqrt D$.
#
# **Back through $Y = P V$.** A product of two matrices, $Y_{sd} = \sum_k P_{sk} V_{kd}$, both of which want a gradient.
# $P_{sk}$ stands in $Y_{sd}$ for every $d$, multiplied by $V_{kd}$; $V_{kd}$ stands in $Y_{sd}$ for every query $s$,
# multiplied by $P_{sk}$. Add up:
#
# $$ dP_{sk} = \sum_d dY_{sd} V_{kd}, \quad\text{so } dP = dY\, V^{\mathsf T}; \qquad
#    dV_{kd} = \sum_s P_{sk}\, dY_{sd}, \quad\text{so } dV = P^{\mathsf T} dY \tag{a} $$
#
# In words: a share should grow if its value points where the output should go. A value moves as its lookers want it
# to, each by as much as it looks.
#
# **Back through the softmax.** Each row for itself, by (9.2), with $P$ for $y$ and $Z$ for $x$:
#
# $$ dZ_{sk} = P_{sk} \Big( dP_{sk} - \sum_j dP_{sj} P_{sj} \Big) \tag{b} $$
#
# **Back through the scores.** $Z_{sk} = \frac{1}{\sqrt D} \sum_d Q_{sd} K_{kd}$. $Q_{sd}$ stands in the score with
# every key, multiplied by $K_{kd}/\sqrt D$; $K_{kd}$ in the score with every query, multiplied by $Q_{sd}/\sqrt D$:
#
# $$ dQ = \frac{dZ\, K}{\sqrt D}, \qquad dK = \frac{dZ^{\mathsf T} Q}{\sqrt D} \tag{c} $$
#
# With dropout, $\operatorname{drop}(P)$ stands in the place of $P$ in the product, so also in $dV$; and between (a) and
# (b) comes the backward of dropout. The softmax's own backward needs the $P$ from *before* dropout, for that is what it
# put out. The code calls $dZ$ `dscores`, its docstring $dS$:
#
# $$ dV = \operatorname{drop}(P)^{\mathsf T} dY, \quad dP = \operatorname{drop}'(dY\, V^{\mathsf T}), \quad
#    dZ = \operatorname{softmax}'(dP), \quad dQ = \frac{dZ\, K}{\sqrt D}, \quad
#    dK = \frac{dZ^{\mathsf T} Q}{\sqrt D} \tag{9.4} $$

# %%
show(attention_backward)

# %% [markdown]
# **The numbers of our example.** Let only the first number of the first output matter: $dY_1 = (1, 0, 0, 0)$, and 0 for
# the second query. Then $dP_1 = dY_1 V^{\mathsf T} = (8, 0, 0)$: only the first value points that way. This is the $dy$
# of chapter 05, so $dZ_1 = (\frac78, -\frac14, -\frac58)$; and $dQ_1 = \frac12 dZ_1 K = (\frac7{16}, -\frac18,
# -\frac5{16}, 0)$: the query should turn towards key 1 and away from the others. $dV$ has the shares in its first
# column.

# %%
Y, P = attention(Q, K, V)
dY = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])[None, None]
dQ, dK, dV = attention_backward(dY, Q, K, V, P)
show(dQ=dQ[0, 0], dK=dK[0, 0], dV=dV[0, 0])
assert np.allclose(dQ[0, 0, 0], [7 / 16, -1 / 8, -5 / 16, 0]) and (dQ[0, 0, 1] == 0).all()
assert np.allclose(dV[0, 0, :, 0], [1 / 8, 1 / 4, 5 / 8])
assert np.allclose(dK[0, 0], np.outer([7 / 8, -1 / 4, -5 / 8], [0, np.log(2), np.log(5), 0]))

# %% [markdown]
# ## Checked

# %%
report = check_formula("attention")
print(report)
assert report.ok and check_formula("masked_softmax").ok

# %% [markdown]
# The three steps written as above, without dropout, pass as well:


# %%
def by_steps(Q, K, V):
    return softmax(Q @ K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])) @ V


def by_steps_backward(dY, Q, K, V):
    root = np.sqrt(Q.shape[-1])
    P = softmax(Q @ K.swapaxes(-1, -2) / root)
    dP, dV = dY @ V.swapaxes(-1, -2), P.swapaxes(-1, -2) @ dY  # (a)
    dZ = softmax_backward(dP, P)  # (b)
    return {"Q": dZ @ K / root, "K": dZ.swapaxes(-1, -2) @ Q / root, "V": dV}  # (c)


inputs = {"Q": rng.randn(2, 3, 4), "K": rng.randn(2, 5, 4), "V": rng.randn(2, 5, 4)}
assert check(by_steps, by_steps_backward, inputs).ok

# %% [markdown]
# ## Four claims, tested
#
# **Padding changes nothing.** Replace keys and values of masked places by anything, even enormous: no output moves, not
# by one bit, and no gradient goes there.

# %%
B, A, S, D = 2, 3, 5, 4
Q, K, V = rng.randn(B, A, S, D), rng.randn(B, A, S, D), rng.randn(B, A, S, D)
mask = np.ones((B, 1, 1, S), bool)
mask[1, ..., 3:] = False  # the second sequence has three tokens
Y, P = attention(Q, K, V, mask)
K2, V2 = K.copy(), V.copy()
K2[1, :, 3:], V2[1, :, 3:] = 1e6, -1e6
Y2, _ = attention(Q, K2, V2, mask)
assert np.array_equal(Y, Y2)
dQ, dK, dV = attention_backward(rng.randn(B, A, S, D), Q, K, V, P)
assert (dK[1, :, 3:] == 0).all() and (dV[1, :, 3:] == 0).all()

# %% [markdown]
# **The offset of the keys never learns.** Add the same vector $c$ to every key. Then $q \cdot c$ is added to *all*
# scores of query $q$, and a softmax does not care (chapter 05). So the slope along $c$ is zero, and $c$ is just what an
# offset $b_K$ in the linear map of the keys is. Its gradient is the sum of the rows of $dK$, and it is 0, always. BERT
# has this offset all the same, 768 numbers in each layer, and they do nothing at all.

# %%
shifted, _ = attention(Q, K + rng.randn(D), V, mask)
print("outputs move by ", abs(shifted - Y).max())
print("sum of dK's rows", abs(dK.sum(axis=2)).max())
assert abs(shifted - Y).max() < 1e-13 and abs(dK.sum(axis=2)).max() < 1e-13

# %% [markdown]
# **Attention has no idea of order.** Put keys and values into another order, and the outputs stay: a sum does not know
# the order of its terms. That is why positions must be in the vectors (chapter 04).

# %%
order = np.array([3, 0, 4, 1, 2])
shuffled, _ = attention(Q, K[:, :, order], V[:, :, order], mask[..., order])
assert np.allclose(shuffled, Y)

# %% [markdown]
# **An output is never outside its values.** It is a mean with positive weights: each of its numbers lies between the
# smallest and the largest that a readable value has there.

# %%
low, high = V[0].min(axis=1, keepdims=True), V[0].max(axis=1, keepdims=True)
assert (Y[0] >= low - 1e-12).all() and (Y[0] <= high + 1e-12).all()

# %% [markdown]
# ## The picture
#
# Shares, their slopes, and the slopes of the scores, for five tokens and one of padding. The column of `[PAD]` is zero
# in the shares and in the slopes of the scores, though $dP$ is not zero there: the softmax of the masked lets nothing
# through. Each row of the last table adds up to zero: attention can only be moved from one token to another.

# %%
words = "the cat saw a dog [PAD]".split()
S, D = len(words), 4
Q, K, V = rng.randn(1, 1, S, D) * 1.5, rng.randn(1, 1, S, D) * 1.5, rng.randn(1, 1, S, D)
mask = np.array([True] * 5 + [False])
Y, P = attention(Q, K, V, mask)
dY = rng.randn(1, 1, S, D) * 0.5
dP = dY @ V.swapaxes(-1, -2)
dZ = masked_softmax_backward(dP, P)
assert abs(dZ.sum(axis=-1)).max() < 1e-15 and (dZ[..., 5] == 0).all() and (P[..., 5] == 0).all()
draw(
    plotting.matrices,
    "ch09_attention.png",
    panels=[
        {"title": title, "values": values[0, 0], "columns": words, "rows": words if values is P else None,
         "xlabel": "is looked at", "ylabel": "looks" if values is P else ""}
        for title, values in (("shares P", P), ("slopes of the shares dP", dP), ("slopes of the scores dZ", dZ))
    ],
    height=3.0,
    limit=1.5,
)  # fmt: skip

# %% [markdown]
# ## What others do
#
# * **The paper** (Vaswani et al. 2017, eq. 1) has no mask in its formula; figure 2 shows one as "optional".
# * **Google's code** adds $-10000$ to the scores of masked keys in place of leaving them out. $e^{-10000}$ is 0 to any
#   computer, so it comes to the same, except in a row where *all* are masked: there they are all lowered alike, and
#   padding attends to padding.
# * **transformers** adds the lowest number that the float type has. In a row without keys that gives equal shares.
#   Here such a row is zero.
# * The attention probabilities that transformers hands out are those *after* dropout.
#
# ## Common mistakes


# %%
def no_scale(dy, query, key, value, probabilities, keep=None, p=0.0):
    dquery, dkey, dvalue = attention_backward(dy, query, key, value, probabilities, keep, p)
    return dquery * np.sqrt(query.shape[-1]), dkey * np.sqrt(query.shape[-1]), dvalue


def swapped(dy, query, key, value, probabilities, keep=None, p=0.0):
    dquery, dkey, dvalue = attention_backward(dy, query, key, value, probabilities, keep, p)
    return dkey[:, :, : query.shape[2]], dquery, dvalue


for wrong in (no_scale, swapped):
    report = check_formula("attention", backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Two that no gradient check can find, since the backward is right and the *forward* is not:
#
# * **A mask that is too weak.** With $-10$ in place of $-10000$ a masked key still gets a share of $e^{-10}$, $5 \cdot
#   10^{-5}$, of what it would have.
# * **A mask on the wrong axis**, $(B, 1, S, 1)$ for $(B, 1, 1, S)$: then padding is not hidden, it is blindfolded.
#
# For these, the first claim above is the test: change the padding, and see that nothing moves.

# %%
weak = softmax(np.array([0.0, 0.0, 0.0 - 10.0]))
print(f"share of a key 'masked' with -10: {weak[2]:.1e}")
assert 2e-5 < weak[2] < 3e-5

# %% [markdown]
# ## Exercises
#
# **9.1** Write the forward with a mask, for any number of axes in front. (`bertnp learn check 9.1`)
#
# **9.2** Write the backward, and check it with `check_formula("attention", backward=yours)`.
# (`bertnp learn check 9.2`)
#
# **9.3** The proof above says that $b_K$ gets no gradient. Does $b_Q$? Does $b_V$? What does $b_V$ add to the output?
#
# **9.4** How much memory do the shares need for $B = 32$, $A = 12$, $S = 512$ in float32? And twelve layers of them?
# (This is why the library computes them again in the backward: chapter 11.)
#
# **9.5** In a *causal* mask token $s$ may read only keys up to $s$ itself. Make one, and test that the output of token
# 2 does not change when token 3 does. (Chapter 18 needs it.) (`bertnp learn check 9.5`)
#
# **9.6** Write the masked softmax (9.1). What becomes of a row in which no key may be read? (`bertnp learn check 9.6`)
#
# **9.7** Add to each score a number that depends on the distance $k - s$ and on the head, from a table that is
# learnt. Write it and its backward. How many places read the same number? (`bertnp learn check 9.7`)
#
# **9.8** *Rotary positions* (Su et al. 2021) turn queries and keys, pair by pair, by angles that grow with the
# position. Write the turn and its backward. Why does a score then depend on the distance alone?
# (`bertnp learn check 9.8`)
