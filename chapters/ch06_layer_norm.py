# %% [markdown]
# # 06 · Layer norm: every token's vector on one scale, and what its gradient loses on the way back
#
# Needs: chapters 02 and 03. Runtime: 2 seconds.
#
# **What you will understand.** Why BERT normalises every vector, the formula and what each letter in it is, how to
# derive its backward pass in six small steps with nothing but the chain rule, why that gradient always adds up to
# zero, and how to find the mistake in a wrong version.

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import layer_norm, layer_norm_backward
from bertnp.gradcheck import check_formula
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# A token is a vector of $H$ numbers (768 in BERT-base). Layer after layer adds something to it, so its numbers drift
# and grow, and a layer that expects numbers around 1 gets numbers around 50. Layer norm puts each vector back on one
# scale: subtract the mean of its $H$ numbers, divide by their standard deviation. What remains is the *pattern*: which
# numbers are high and which are low. Then each component gets a scale $\gamma$ and an offset $\beta$ of its own, which
# are learnt: so the network may choose the size it works with, but no single token may.
#
# It happens to each token by itself. Nothing is averaged over the batch or over the other tokens.
#
# ## The formula
#
# For one vector $x = (x_1, \dots, x_H)$:
#
# $$ \mu = \frac1H \sum_i x_i, \qquad \sigma^2 = \frac1H \sum_i (x_i - \mu)^2, \qquad
#    \hat x_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \qquad
#    y_i = \gamma_i \hat x_i + \beta_i \tag{6.1} $$
#
# * $\mu$ is the mean, $\sigma^2$ the variance. It is a plain mean of squares (divided by $H$, not $H-1$).
# * $\varepsilon = 10^{-12}$ keeps the root from being zero when all $x_i$ are the same.
# * $\hat x$ ("x hat") is the normalised vector: mean 0, mean square 1.
#
# This is the code that BERT runs in this library:

# %%
show(layer_norm)

# %% [markdown]
# The `...` in the shapes is whatever stands in front: one vector, (S, H) tokens or (B, S, H) a batch.
# `axis=-1` is the last axis, the $H$ numbers of one token; `keepdims=True` leaves it there with length 1, so that
# the subtraction finds its partner (chapter 03).
#
# ## By hand
#
# Four numbers, chosen so that everything comes out even: $x = (3, 3, -3, 5)$.
#
# * $\mu = (3 + 3 - 3 + 5)/4 = 2$, so $x - \mu = (1, 1, -5, 3)$
# * $\sigma^2 = (1 + 1 + 25 + 9)/4 = 9$, and the root is 3
# * $\hat x = (\frac13, \frac13, -\frac53, 1)$
# * with $\gamma = (1, 2, 1, 3)$ and $\beta = (0, 0, 1, 0)$:  $y = (\frac13, \frac23, -\frac23, 3)$

# %%
x = np.array([3.0, 3.0, -3.0, 5.0])
gamma = np.array([1.0, 2.0, 1.0, 3.0])
beta = np.array([0.0, 0.0, 1.0, 0.0])
y, x_hat, inv_std = layer_norm(x, gamma, beta)
show(x=x, x_hat=x_hat, inv_std=inv_std, y=y)

assert np.allclose(x_hat, [1 / 3, 1 / 3, -5 / 3, 1])
assert np.allclose(inv_std, 1 / 3)
assert np.allclose(y, [1 / 3, 2 / 3, -2 / 3, 3])

# %% [markdown]
# `inv_std` is $s = 1/\sqrt{\sigma^2 + \varepsilon}$. The forward hands it back together with $\hat x$, because the
# backward will need both: computing them again would cost as much as the forward did.
#
# ## The backward, step by step
#
# Somewhere behind $y$ stands a loss $L$, one number. We are given $dy_i = \partial L/\partial y_i$: how much the loss
# would rise if $y_i$ rose by a little. We want the same for everything that went in: $dx_i$, $d\gamma_i$, $d\beta_i$.
# (A $d$ in front of a name always means "the slope of the loss by this".)
#
# Write the forward as a chain of steps, each so simple that its slope is known from school:
#
# | step | forward |
# |---|---|
# | 1 | $\mu = \frac1H \sum_i x_i$ |
# | 2 | $c_i = x_i - \mu$ |
# | 3 | $v = \frac1H \sum_i c_i^2$ |
# | 4 | $s = (v + \varepsilon)^{-1/2}$ |
# | 5 | $\hat x_i = c_i\, s$ |
# | 6 | $y_i = \gamma_i \hat x_i + \beta_i$ |
#
# and walk back from the last to the first. Two rules do everything: *a slope along a path is the product of the
# slopes of its steps*, and *where several paths lead to the loss, their slopes add up* (chapter 02).
#
# **Back through step 6.** $y_i$ rises $\gamma_i$ times as fast as $\hat x_i$, $\hat x_i$ times as fast as $\gamma_i$,
# and just as fast as $\beta_i$. We call $d\hat x_i$ simply $g_i$:
#
# $$ g_i = \gamma_i\, dy_i, \qquad d\gamma_i = \sum dy_i\, \hat x_i, \qquad d\beta_i = \sum dy_i \tag{a} $$
#
# The sums run over all tokens of the batch, because all of them share the one $\gamma$ and the one $\beta$: there are
# as many paths as tokens.
#
# **Back through step 5.** $\hat x_i = c_i s$ is a product. $c_i$ gets $g_i s$. But $s$ stands in *every* $\hat x_i$:
# it gets a sum.
#
# $$ dc_i = g_i\, s \ \ (\text{so far}), \qquad ds = \sum_i g_i\, c_i \tag{b} $$
#
# **Back through step 4.** The slope of $(v + \varepsilon)^{-1/2}$ is $-\frac12 (v+\varepsilon)^{-3/2}$, and that is
# $-\frac12 s^3$:
#
# $$ dv = -\tfrac12 s^3\, ds \tag{c} $$
#
# **Back through step 3.** $v$ rises by $\frac{2 c_i}{H}$ for each $c_i$. This is the second path that leads from $c_i$
# to the loss, so it is added to what (b) gave:
#
# $$ dc_i = g_i\, s + \frac{2 c_i}{H}\, dv = g_i\, s - \frac{c_i s^3}{H} \sum_j g_j c_j
#        = s \Big( g_i - \hat x_i \cdot \frac1H \sum_j g_j \hat x_j \Big) \tag{d} $$
#
# In the last step, of the three factors $s$ one stays in front, one turns $c_i$ into $\hat x_i$, and one turns $c_j$
# into $\hat x_j$.
#
# **Back through step 2.** $c_i = x_i - \mu$: $x_i$ gets $dc_i$, and $\mu$, which is subtracted from every $x_i$, gets
# minus the sum of all of them.
#
# $$ dx_i = dc_i \ \ (\text{so far}), \qquad d\mu = -\sum_i dc_i \tag{e} $$
#
# **Back through step 1.** $\mu$ rises by $\frac1H$ for each $x_i$, which is again a second path to add:
#
# $$ dx_i = dc_i + \frac{d\mu}{H} = dc_i - \frac1H \sum_j dc_j \tag{f} $$
#
# So the mean of $dc$ is taken away. From (d), that mean is $s$ times the mean of $g$, minus $s$ times the mean of
# $\hat x$ times something; and the mean of $\hat x$ is zero. Only the first part is left. With "mean" for
# $\frac1H\sum$:
#
# $$ dx_i = s \Big( g_i - \operatorname{mean}(g) - \hat x_i \operatorname{mean}(g \hat x) \Big), \qquad
#    g = \gamma\, dy, \qquad d\gamma = \sum dy\, \hat x, \qquad d\beta = \sum dy \tag{6.2} $$
#
# Here is the same chain as code, one line for each step back:


# %%
def backward_step_by_step(dy, x_hat, inv_std, weight):
    H = x_hat.shape[-1]
    c = x_hat / inv_std
    g = dy * weight  # (a)
    dgamma = (dy * x_hat).reshape(-1, H).sum(axis=0)
    dbeta = dy.reshape(-1, H).sum(axis=0)
    dc = g * inv_std  # (b)
    ds = (g * c).sum(axis=-1, keepdims=True)
    dv = -0.5 * inv_std**3 * ds  # (c)
    dc = dc + 2 * c / H * dv  # (d)
    dmu = -dc.sum(axis=-1, keepdims=True)  # (e)
    dx = dc + dmu / H  # (f)
    return dx, dgamma, dbeta


# %% [markdown]
# The library has the short form, (6.2):

# %%
show(layer_norm_backward)

# %% [markdown]
# **The numbers of our example.** Let $dy = (3, 0, 0, 1)$. Then $g = \gamma\, dy = (3, 0, 0, 3)$, its mean is
# $\frac32$, and $g \hat x = (1, 0, 0, 3)$ has mean 1. So
#
# $$ dx = \tfrac13 \big( (3, 0, 0, 3) - \tfrac32 - (\tfrac13, \tfrac13, -\tfrac53, 1) \big)
#       = \tfrac1{18}\, (7, -11, 1, 3). $$

# %%
dy = np.array([3.0, 0.0, 0.0, 1.0])
dx, dgamma, dbeta = layer_norm_backward(dy, x_hat, inv_std, gamma)
show(dx_times_18=18 * dx, dgamma=dgamma, dbeta=dbeta)

assert np.allclose(dx, np.array([7, -11, 1, 3]) / 18)
assert np.allclose(dgamma, [1, 0, 0, 1]) and np.allclose(dbeta, dy)
assert np.allclose(dx, backward_step_by_step(dy, x_hat, inv_std, gamma)[0])

# %% [markdown]
# ## Checked
#
# `check_formula` nudges each number that goes in, sees how far the loss moves, and compares that slope with ours
# (chapter 02 says how, and why with these inputs). Our six steps:

# %%
report = check_formula("layer_norm", backward=backward_step_by_step)
print(report)
assert report.ok

# %% [markdown]
# Three kinds of input: ordinary ones, a large $\varepsilon$, and rows that are almost constant, where
# $\varepsilon$ decides. The library's own backward passes the same check:

# %%
assert check_formula("layer_norm").ok

# %% [markdown]
# ## Two claims, tested
#
# **The numbers of $dx$ add up to zero.** They must: add the same amount to every $x_i$, and the mean swallows it;
# $y$ does not change, so the loss does not, and the slope along $(1, 1, \dots, 1)$ is zero. That slope is
# $\sum_i dx_i$.
#
# **$dx$ has no part along $\hat x$.** Stretch $x - \mu$ by any factor, and the division swallows it. So the slope along
# $\hat x$ is zero, too (but for $\varepsilon$): $\sum_i dx_i\, \hat x_i = 0$.
#
# Look at (6.2) again. The second term takes from $g$ its mean, the third its part along $\hat x$. That is all that the
# backward of layer norm does: it removes from the gradient the two directions in which layer norm is blind.

# %%
rng = np.random.RandomState(6)
B, S, H = 2, 5, 8
x = rng.randn(B, S, H) * 3 + 1
gamma, beta = 1 + 0.5 * rng.randn(H), rng.randn(H)
dy = rng.randn(B, S, H)
y, x_hat, inv_std = layer_norm(x, gamma, beta)
dx, _, _ = layer_norm_backward(dy, x_hat, inv_std, gamma)

shifted, _, _ = layer_norm(x + 100, gamma, beta)
stretched, _, _ = layer_norm(10 * x, gamma, beta)
print("y changes by", abs(shifted - y).max(), "when 100 is added to x")
print("y changes by", abs(stretched - y).max(), "when x is multiplied by 10")
print("largest |sum of dx|       ", abs(dx.sum(axis=-1)).max())
print("largest |sum of dx x_hat| ", abs((dx * x_hat).sum(axis=-1)).max())

assert np.allclose(shifted, y) and np.allclose(stretched, y)
assert abs(dx.sum(axis=-1)).max() < 1e-14 and abs((dx * x_hat).sum(axis=-1)).max() < 1e-11

# %% [markdown]
# A consequence for training: the larger the vector that goes in, the smaller the gradient that comes out, since
# $s = 1/\sigma$ stands in front. A vector ten times as long gets a tenth of the gradient:

# %%
_, x_hat10, inv_std10 = layer_norm(10 * x, gamma, beta)
dx10, _, _ = layer_norm_backward(dy, x_hat10, inv_std10, gamma)
print(f"dx is {np.median(dx / dx10):.4f} times the dx of the stretched vector")
assert np.allclose(dx, 10 * dx10)

# %% [markdown]
# ## The picture
#
# With $H = 3$ one can see it. All vectors whose numbers add up to zero lie in a plane; that is where $x - \mu$ lives.
# Dividing by the standard deviation pulls each of them onto a circle (of radius $\sqrt H$). On the way back, whatever
# gradient arrives, what goes on is its part *along the circle*: layer norm lets a gradient turn a vector, never
# stretch it.

# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions at right angles in that plane
angle = np.radians([20, 75, 140, 195, 250, 320])
length = np.array([3.2, 0.8, 3.0, 0.9, 2.8, 0.7])
points = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ plane  # (6, 3), rows that add up to 0
arriving = np.array([[1.2, 0.5], [0.9, 0.8], [-0.2, 1.5], [-1.3, 0.6], [1.0, -1.0], [-0.4, -1.2]]) @ plane

ones, zeros = np.ones(3), np.zeros(3)
_, on_circle, inv = layer_norm(points + 0.5, ones, zeros)
leaving, _, _ = layer_norm_backward(arriving, on_circle, inv, ones)
radial = (leaving * on_circle).sum(axis=-1)
assert abs(radial).max() < 1e-10  # every arrow that leaves is at right angles to the radius

draw(
    plotting.layer_norm_circle,
    "ch06_layer_norm.png",
    centred=points @ plane.T,
    normalised=on_circle @ plane.T,
    arriving=arriving @ plane.T,
    leaving=leaving / inv @ plane.T,  # without the factor 1/σ, so that both arrows have one scale
)

# %% [markdown]
# ## What others do
#
# * **The paper** (Ba, Kiros & Hinton 2016, eq. 4) has no $\varepsilon$ in its formula. Every implementation needs one.
# * **Google's BERT** calls TensorFlow's layer norm: variance divided by $H$, $\varepsilon = 10^{-12}$ inside the root.
#   Its checkpoints name the two vectors `gamma` and `beta`.
# * **transformers** does the same in PyTorch, under the names `weight` and `bias`; `layer_norm_eps` is in the
#   configuration.
# * A well-known annotated reading of the Transformer divides by $H - 1$ and adds $\varepsilon = 10^{-6}$ *outside* the
#   root, to the standard deviation. Many projects copied that. On $H = 768$ the first changes every number by the
#   factor $\sqrt{767/768}$:

# %%
unbiased = np.sqrt(767 / 768)
print(f"factor {unbiased:.6f}: too little for the eye, far too much for weights that were trained without it")
assert 1e-4 < 1 - unbiased < 1e-3

# %% [markdown]
# ## Common mistakes
#
# The most common: to forget that $x$ moves $\mu$ and $\sigma$, too, and to treat them as constants. Then only the
# first term of (6.2) is left. The check does not only see it, it says what happened:


# %%
def constants(dy, x_hat, inv_std, weight):
    dx = inv_std * weight * dy
    return dx, (dy * x_hat).reshape(-1, len(weight)).sum(axis=0), dy.reshape(-1, len(weight)).sum(axis=0)


def without_gamma(dy, x_hat, inv_std, weight):
    return layer_norm_backward(dy, x_hat, inv_std, np.ones_like(weight))


for wrong in (constants, without_gamma):
    report = check_formula("layer_norm", backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Others: $\varepsilon$ outside the root; $d\gamma$ summed over the batch but not over the sequence, so that its shape
# is (S, H); $\gamma$ multiplied in *after* the means are taken, which is right only when $\gamma = 1$, as it is
# before the first training step: that is why a check must not be made there.
#
# ## Exercises
#
# **6.1** Write the backward with all intermediate gradients, (a) to (f), without looking, and check it with
# `check_formula("layer_norm", backward=yours)`. (`bertnp learn check 6.1`)
#
# **6.2** Write it in one line, as (6.2).
#
# **6.3** RMSNorm leaves out the mean: $\hat x_i = x_i / \sqrt{\operatorname{mean}(x^2) + \varepsilon}$. Derive its
# backward. Which of the three terms of (6.2) goes? (Answer: the second.) (`bertnp learn check 6.3`)
#
# **6.4** What are $y$ and $dx$ when all $x_i$ are equal? When $H = 1$? When $H = 2$? First think, then run it.
#
# **6.5** We said that $\sum_i dx_i \hat x_i$ is zero "but for $\varepsilon$". Show from (6.2) that it is
# $s \,\varepsilon / (\sigma^2 + \varepsilon) \cdot \sum_i g_i \hat x_i$.
#
# **6.6** Write the forward (6.1), with what the backward will need. (`bertnp learn check 6.6`)
