# %% [markdown]
# # 08 · Dropout, residuals, post-norm against pre-norm: how both halves of a layer end
#
# Needs: chapters 02, 03, 06 and 07. Runtime: 3 seconds.
#
# **What you will understand.** What dropout does and why its numbers are divided by $1 - p$; why a network of twelve
# layers adds each layer's input to its output, and what that does to the gradient; and the question asked most often
# about the Transformer: does the layer norm come after the sum or before it, and what follows from that?

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import (
    dropout,
    dropout_backward,
    gelu_feed_forward,
    gelu_feed_forward_backward,
    layer_norm,
    layer_norm_backward,
    residual_norm,
    residual_norm_backward,
)
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show
from bertnp.nn import DropoutStreams

# %% [markdown]
# ## The idea
#
# **Dropout.** In training, each number is set to zero with probability $p$ (0.1 in BERT), anew in every step. No unit
# can rely on one other alone, which keeps a large network from learning its examples by heart. When the network is
# used, nothing is dropped.
#
# **Residual.** A layer does not replace its input, it *adds* something to it: $x + f(x)$. To change nothing is then
# easy, $f = 0$; and the gradient has a way around $f$.
#
# **Norm.** Where things are only ever added, numbers grow. So BERT normalises each sum (chapter 06).
#
# ## The formula of dropout
#
# $k$ is the mask, 1 where a number is kept, 0 where it is dropped:
#
# $$ y = \frac{x\, k}{1 - p} \tag{8.1} $$
#
# Why the division? A number is kept with probability $1-p$ and is then $x/(1-p)$, so on average it is
# $(1-p) \cdot x/(1-p) = x$. What comes after sees inputs of the size it will see later, when nothing is dropped; so
# nothing needs to be scaled then.

# %%
show(dropout)

# %% [markdown]
# The mask comes from outside. No formula of this library draws random numbers: so a gradient can be checked with
# dropout on, and the same seed gives the same masks on any machine.
#
# ## By hand
#
# $p = \frac14$, and the second of four numbers is dropped:

# %%
x = np.array([1.0, 2.0, 3.0, 6.0])
keep = np.array([True, False, True, True])
y = dropout(x, keep, 0.25)
show(x=x, keep=keep, y=y)
assert np.allclose(y, [4 / 3, 0, 4, 8])

# %% [markdown]
# ## The backward of dropout
#
# $y_i$ is $x_i$ times a constant, $k_i/(1-p)$, so its slope is that constant. *The same mask*: what was dropped had no
# influence on the loss, and gets no gradient.
#
# $$ dx = \frac{dy\, k}{1 - p} \tag{8.2} $$

# %%
show(dropout_backward)
assert np.allclose(dropout_backward(np.ones(4), keep, 0.25), [4 / 3, 0, 4 / 3, 4 / 3])

# %% [markdown]
# ## Residuals, and what they do to a gradient
#
# Let $y = x + f(x)$. Two paths lead from $x$ to the loss, so by rule 2 of chapter 02
#
# $$ dx = dy + f'(dy) \tag{a} $$
#
# where $f'(dy)$ is what the backward of $f$ returns. Now take twelve layers. *Without* the sum, the gradient is the
# product of twelve slopes. If each is about $\frac12$, it is $\frac1{4096}$ at the bottom; if each is 2, it is 4096.
# *With* the sum, each factor is "1 plus something": multiply out, and one of the terms is $dy$ itself, untouched.
#
# ## Add and norm
#
# Both halves of a BERT layer (attention, feed-forward) end with the same four steps: add the offset of the last linear
# map, drop, add the residual $r$, normalise.
#
# $$ y = \operatorname{LayerNorm}\big(r + \operatorname{drop}(x + b)\big) \tag{8.3} $$
#
# Backward, in reverse: layer norm (6.2) gives the slope of the sum; a sum hands it on to each summand; one of them goes
# through (8.2); and $b$, which was copied to every token, collects a sum (chapter 03).
#
# $$ dr = \operatorname{LayerNorm}'(dy), \qquad dx = \operatorname{drop}'(dr), \qquad db = \sum dx \tag{8.4} $$

# %%
show(residual_norm, residual_norm_backward)

# %% [markdown]
# The numbers of chapter 06, now as a sum: $r + x + b = (3, 3, -3, 5)$.

# %%
r, x, b = np.array([2.0, 3.0, -4.0, 3.0]), np.array([1.0, 1.0, 0.0, 2.0]), np.array([0.0, -1.0, 1.0, 0.0])
gamma, beta = np.array([1.0, 2.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0, 0.0])
y, x_hat, inv_std = residual_norm(x, b, r, gamma, beta)
dy = np.array([3.0, 0.0, 0.0, 1.0])
dx, db, dr, dgamma, dbeta = residual_norm_backward(dy, x_hat, inv_std, gamma)
show(y=y, dr_times_18=18 * dr, dx_times_18=18 * dx)
assert np.allclose(y, [1 / 3, 2 / 3, -2 / 3, 3])
assert np.allclose(dr, np.array([7, -11, 1, 3]) / 18) and np.array_equal(dx, dr)

dx, db, dr, _, _ = residual_norm_backward(dy, x_hat, inv_std, gamma, keep, 0.25)
assert np.allclose(dx, dr * [4 / 3, 0, 4 / 3, 4 / 3])  # through the mask; the residual's way has none

# %% [markdown]
# ## Checked

# %%
for name in ("dropout", "residual_norm", "residual"):
    report = check_formula(name)
    print(f"{name:14} {len(report.rows)} cases:", "ok" if report.ok else report.sentence)
    assert report.ok

# %% [markdown]
# ## A claim tested: on average, dropout changes nothing
#
# Masks in this library come from a generator that is told a key (seed, step, which dropout, which example) and gives
# the same mask for it every time. Over 2000 steps:

# %%
streams = DropoutStreams(seed=8)
x = np.array([1.0, -2.0, 3.0, 0.5])
drops = [dropout(x, streams.keep(0.1, x.shape, site=0, example=0, step=step), 0.1) for step in range(2000)]
show(x=x, mean_of_2000=np.mean(drops, axis=0))
assert abs(np.mean(drops, axis=0) - x).max() < 0.05
again = DropoutStreams(seed=8).keep(0.1, x.shape, site=0, example=0, step=7)
assert np.array_equal(again, streams.keep(0.1, x.shape, site=0, example=0, step=7))

# %% [markdown]
# ## Post-norm or pre-norm?
#
# There are two places for the layer norm:
#
# $$ \text{post-norm: } y = \operatorname{LayerNorm}(x + f(x)), \qquad
#    \text{pre-norm: } y = x + f(\operatorname{LayerNorm}(x)) \tag{b} $$
#
# **BERT is post-norm**, like the original Transformer. Most newer networks are pre-norm. Compare their backwards. In
# post-norm the whole gradient goes through the layer norm of every half layer: no path is untouched. In pre-norm the
# way around is free all the way down:
#
# $$ \text{post: } ds = \operatorname{LayerNorm}'(dy),\ dx = ds + f'(ds), \qquad
#    \text{pre: } dx = dy + \operatorname{LayerNorm}'(f'(dy)) \tag{c} $$
#
# Let us measure. 24 half layers, as in BERT-base, each with a feed-forward network of random weights for $f$. Four ways
# of putting them together. Vectors of random numbers go in below, and we look how large they are on their way up; a
# random gradient goes in at the top, and we look how long it is on its way down.

# %%
rng = np.random.RandomState(88)
T, H, I, DEPTH = 32, 64, 128, 24
weights = [(rng.randn(I, H) / np.sqrt(H), np.zeros(I), rng.randn(H, I) / np.sqrt(I)) for _ in range(DEPTH)]
ones, zeros = np.ones(H), np.zeros(H)
KINDS = ("no residual", "residual alone", "post-norm", "pre-norm")


def forward(kind, x):
    """The vectors after every half layer, and what the backward needs."""
    states, kept = [x], []
    for W1, b1, W2 in weights:
        inside, norm = x, ()
        if kind == "pre-norm":
            inside, *norm = layer_norm(x, ones, zeros)
        branch, u = gelu_feed_forward(inside, W1, b1, W2)
        x = branch if kind == "no residual" else x + branch
        if kind == "post-norm":
            x, *norm = layer_norm(x, ones, zeros)
        states.append(x)
        kept.append((inside, u, norm))
    return states, kept


def backward(kind, dy, kept):
    """The gradients of those vectors, from the top down."""
    gradients = [dy]
    for (W1, _, W2), (inside, u, norm) in zip(reversed(weights), reversed(kept), strict=True):
        if kind == "post-norm":
            dy, _, _ = layer_norm_backward(dy, *norm, ones)
        dinside, _, _, _ = gelu_feed_forward_backward(dy, inside, W1, W2, u)
        if kind == "pre-norm":
            dinside, _, _ = layer_norm_backward(dinside, *norm, ones)
        dy = dinside if kind == "no residual" else dy + dinside
        gradients.append(dy)
    return gradients


x, dy = rng.randn(T, H), rng.randn(T, H)
sizes, lengths = {}, {}
for kind in KINDS:
    states, kept = forward(kind, x)
    sizes[kind] = np.array([np.sqrt((state**2).mean()) for state in states])
    lengths[kind] = np.array([np.linalg.norm(g) for g in backward(kind, dy, kept)]) / np.linalg.norm(dy)
    print(f"{kind:15} size of the vectors at the top {sizes[kind][-1]:8.2g}   gradient below {lengths[kind][-1]:8.2g}")

assert lengths["no residual"][-1] < 1e-5 and lengths["residual alone"][-1] > 50
assert 0.5 < lengths["post-norm"].min() and lengths["post-norm"].max() < 2
assert 1 < lengths["pre-norm"][-1] < 6 and sizes["pre-norm"][-1] > 2 * sizes["post-norm"][-1]

# %% [markdown]
# A gradient is checked before it is believed, in an experiment, too:

# %%
for kind in KINDS:
    report = check(
        lambda x, kind=kind: forward(kind, x)[0][-1],
        lambda dy, x, kind=kind: {"x": backward(kind, dy, forward(kind, x)[1])[-1]},
        {"x": x[:2]},
        rtol=1e-6,
        max_coords=16,
    )
    assert report.ok, report

# %% [markdown]
# ## The picture
#
# Without residuals both the vectors and the gradient fade, by a factor of ten million in 24 steps: the lower layers
# would never learn. With residuals but no norm, both grow a hundredfold. With either norm, both stay of a size.
#
# And the difference between the two? In **post-norm** the vectors keep their size exactly. In **pre-norm** they grow,
# slowly, because branch after branch is added and nothing is scaled back: each layer's contribution is a smaller share
# of the whole than the one before, and a last layer norm is needed at the top. In return the free way down makes
# training calm: post-norm networks of this depth need a warm-up, in which the learning rate begins near zero, or they
# diverge (Xiong et al. 2020; chapter 13).

# %%
depth = np.arange(DEPTH + 1)
draw(
    plotting.curves,
    "ch08_depth.png",
    panels=[
        {
            "title": "up: size of the vectors",
            "series": {kind: (depth, sizes[kind]) for kind in KINDS},
            "xlabel": "half layers above the bottom",
            "ylabel": "root mean square",
            "log": "y",
        },
        {
            "title": "down: length of the gradient",
            "series": {kind: (depth, lengths[kind]) for kind in KINDS},
            "xlabel": "half layers below the top",
            "ylabel": "times the length at the top",
            "log": "y",
        },
    ],
    height=3.2,
)

# %% [markdown]
# ## What others do
#
# * **The Transformer paper** is post-norm: "the output of each sub-layer is LayerNorm(x + Sublayer(x))", with dropout
#   on the output of the sublayer before it is added. BERT does the same.
# * **A well-known annotated version** of that paper is pre-norm in its code ("for code simplicity the norm is first as
#   opposed to last"), and so is what was built after it. This is the difference between paper and code that is asked
#   about most.
# * **Google's code and transformers** are post-norm; dropout (0.1) comes after the embeddings, after both linear maps
#   that end a half layer, and on the attention probabilities (chapter 09). Nowhere inside the feed-forward network.
# * Dividing by $1-p$ in training ("inverted dropout") is what all of them do; the first paper on dropout multiplied by
#   $1-p$ in use instead.
#
# ## Common mistakes


# %%
def without_division(dy, keep=None, p=0.0):
    return dy if keep is None else dy * keep


def fresh_mask(dy, keep=None, p=0.0):
    return dy if keep is None else dy * (np.random.RandomState(1).rand(*dy.shape) >= p) / (1 - p)


def branch_only(dy, x, weight):
    rows, inputs = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ weight, rows.T @ inputs, rows.sum(axis=0)


for name, wrong in (("dropout", without_division), ("dropout", fresh_mask), ("residual", branch_only)):
    report = check_formula(name, backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Others: dropout left on when predicting, so that the same sentence gets another answer each time; one dropout object
# used in two places, so that the second mask overwrites the first before the backward needs it; layer norm of the
# branch alone, $x + \operatorname{LayerNorm}(f(x))$, which is neither post nor pre.
#
# ## Exercises
#
# **8.1** Write dropout with its backward, with the mask handed in. (`bertnp learn check 8.1`)
#
# **8.2** Write add-and-norm's backward, (8.4), without looking; check it with
# `check_formula("residual_norm", backward=yours)`. (`bertnp learn check 8.2`)
#
# **8.3** A number goes through dropout with $p$. What is the variance of the result? So why does dropout make training
# noisier the larger the number is?
#
# **8.4** Change `forward` and `backward` above to $x + \operatorname{LayerNorm}(f(x))$, check, and draw its curves.
#
# **8.5** In pre-norm with branches of equal size that are independent of each other, how do the vectors grow with the
# depth? Compare with the measured curve.
#
# **8.6** Write the backward of a pre-norm branch, $x + f(\operatorname{LayerNorm}(x))$ with a linear $f$.
# (`bertnp learn check 8.6`)
