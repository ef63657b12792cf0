# %% [markdown]
# # 07 · GELU and the feed-forward network: the bend between two linear maps
#
# Needs: chapters 02, 03 and 05. Runtime: 2 seconds.
#
# **What you will understand.** Why a network needs something that is not linear, what GELU is and how it differs from
# ReLU, which of its two formulas your checkpoint was trained with and why mixing them up is hard to notice; and the
# forward and backward of the feed-forward network, which holds two thirds of a layer's parameters.

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import (
    gelu,
    gelu_backward,
    gelu_fast,
    gelu_fast_backward,
    gelu_feed_forward,
    gelu_feed_forward_backward,
    gelu_new,
    gelu_new_backward,
    normal_cdf,
    normal_pdf,
    relu,
    relu_backward,
    silu,
    silu_backward,
    tanh,
    tanh_backward,
)
from bertnp.gradcheck import check_formula
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# Two linear maps in a row are one linear map (chapter 03). Put a bend between them, applied to each number by itself,
# and the two together can do what neither can alone: answer to "*this but not that*", switch on from some point, store
# thousands of such rules side by side. BERT does this with every token by itself: make the vector four times as wide,
# bend each number, make it narrow again.
#
# The simplest bend is to cut off at zero, $\max(x, 0)$, called ReLU. BERT's is a soft relative: GELU multiplies $x$ by
# the probability that a random number from the normal distribution is smaller than $x$. Far to the right that is 1,
# and $x$ passes; far to the left it is 0; between, there is a gentle curve with a slope everywhere.
#
# ## The formula
#
# $$ y = x\,\Phi(x), \qquad \Phi(x) = \frac12 \Big( 1 + \operatorname{erf}\frac{x}{\sqrt2} \Big) \tag{7.1} $$
#
# $\Phi$ is that probability; "erf" is a standard function that calculators have, like sine. All we need of it is what
# its slope is: the density of the normal distribution, the bell curve
#
# $$ \Phi'(x) = \varphi(x) = \frac{1}{\sqrt{2\pi}}\, e^{-x^2/2}. \tag{a} $$

# %%
show(gelu, normal_cdf)

# %% [markdown]
# ## By hand
#
# From a table of the normal distribution: $\Phi(-1) = 0.1587$, $\Phi(0) = 0.5$, $\Phi(1) = 0.8413$, $\Phi(2) = 0.9772$.
# So $y = -0.1587,\ 0,\ 0.8413,\ 1.9545$.

# %%
x = np.array([-1.0, 0.0, 1.0, 2.0])
show(x=x, Phi=normal_cdf(x), y=gelu(x))
assert np.allclose(gelu(x), [-0.1587, 0, 0.8413, 1.9545], atol=5e-5)

# %% [markdown]
# ## The backward, step by step
#
# Each number goes its own way, so there is one path only. The product rule on $x \cdot \Phi(x)$, with (a), gives
# $1 \cdot \Phi(x) + x \cdot \varphi(x)$:
#
# $$ dx = dy\, \big( \Phi(x) + x\, \varphi(x) \big) \tag{7.2} $$

# %%
show(gelu_backward, normal_pdf)
slopes = gelu_backward(np.ones(4), x)
show(slope_of_gelu=slopes)
assert np.allclose(slopes, normal_cdf(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))
assert slopes[2] > 1 and slopes[0] < 0  # steeper than 1 at x = 1, and falling at x = -1

# %% [markdown]
# ### The other GELU
#
# When GELU was proposed, erf was slow on some machines, so its authors gave a formula that comes close, with the
# hyperbolic tangent:
#
# $$ y = \tfrac12 x\, (1 + \tanh u), \qquad u = \sqrt{2/\pi}\; (x + 0.044715\, x^3) \tag{7.3} $$
#
# For its backward we need the slope of tanh. With $\tanh = \sinh/\cosh$, where $\sinh' = \cosh$ and $\cosh' = \sinh$,
# the quotient rule gives $(\cosh^2 - \sinh^2)/\cosh^2 = 1 - \tanh^2$. Then the product rule, and the chain rule through
# $u$:
#
# $$ dx = dy \Big( \tfrac12 (1 + \tanh u) + \tfrac12 x\, (1 - \tanh^2 u)\, u' \Big), \qquad
#    u' = \sqrt{2/\pi}\; (1 + 3 \cdot 0.044715\, x^2) \tag{7.4} $$

# %%
show(gelu_new, gelu_new_backward)

# %% [markdown]
# `gelu_fast` is the same once more, with $\sqrt{2/\pi}$ cut to ten digits as in the checkpoints that use it:

# %%
show(gelu_fast, gelu_fast_backward)

# %% [markdown]
# ### Three more bends
#
# ReLU (the original Transformer), SiLU (many newer networks) and tanh (BERT's pooler, chapter 11):
#
# $$ \text{ReLU: } y = \max(x, 0) \tag{7.5} $$
#
# $$ dx = dy \text{ where } y > 0, \text{ else } 0 \tag{7.6} $$
#
# $$ \text{SiLU: } y = x\, \sigma(x) \tag{7.7} $$
#
# $$ dx = dy\, \big( s + x\, s (1 - s) \big), \qquad s = \sigma(x) \tag{7.8} $$
#
# $$ \text{tanh: } y = \tanh x \tag{7.9} $$
#
# $$ dx = dy\, (1 - y^2) \tag{7.10} $$
#
# Each is derived above: (7.8) is the product rule with the slope of $\sigma$ from chapter 05, (7.10) what we found on
# the way to (7.4).

# %%
show(relu, relu_backward, silu, silu_backward, tanh, tanh_backward)

# %% [markdown]
# ## The feed-forward network
#
# Widen from $H$ to $I$ (768 to 3072), bend, narrow again:
#
# $$ u = x W_1^{\mathsf T} + b_1, \qquad y = \operatorname{gelu}(u)\, W_2^{\mathsf T} \tag{7.11} $$
#
# (The second offset $b_2$ is added by the next step, chapter 08.) Backward, we walk through three known steps in
# reverse: the linear map (3.4), GELU (7.2), the linear map (3.2). With $h = \operatorname{gelu}(u)$:
#
# $$ dh = dy\, W_2, \quad dW_2 = dy^{\mathsf T} h, \qquad du = dh \cdot \operatorname{gelu}'(u), \qquad
#    dx = du\, W_1, \quad dW_1 = du^{\mathsf T} x, \quad db_1 = \sum_t du_t \tag{7.12} $$

# %%
show(gelu_feed_forward, gelu_feed_forward_backward)

# %% [markdown]
# Note what is kept for the backward: $u$, but not $h$. Both are the largest arrays of the layer; $h$ is computed again
# from $u$ when it is needed, which costs little and saves a quarter of what a layer would have to keep (chapter 11
# counts it).
#
# One token, $H = 2$, $I = 3$, with weights of 0 and $\pm1$, to follow with the table above:

# %%
W1 = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])  # (I, H)
b1 = np.array([0.0, 0.0, -1.0])
W2 = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # (H, I)
token = np.array([[2.0, -1.0]])
y, u = gelu_feed_forward(token, W1, b1, W2)
dy = np.array([[1.0, 0.0]])
dx, dW1, db1, dW2 = gelu_feed_forward_backward(dy, token, W1, W2, u)
show(u=u, gelu_of_u=gelu(u), y=y, dx=dx, dW1=dW1, db1=db1, dW2=dW2)
assert np.allclose(u, [[2, -1, 0]])
assert np.allclose(y, [[1.9545, -0.1587]], atol=5e-5)
assert np.allclose(db1, [1.0852, 0, -0.5], atol=5e-5)
assert np.allclose(dx, [[0.5852, -0.5]], atol=5e-5)

# %% [markdown]
# Follow it: $dh = dy\,W_2 = (1, 0, -1)$, the first row of $W_2$. The slopes of GELU at $u = (2, -1, 0)$ are
# $0.9772 + 2 \cdot 0.0540 = 1.0852$, then one that is multiplied by 0, then $\frac12$. So $du = (1.0852, 0, -0.5)$,
# which is $db_1$; and $dx = du\,W_1 = (1.0852 - 0.5,\ 0 - 0.5)$.

# %% [markdown]
# ## Checked

# %%
for name in ("gelu", "gelu_new", "gelu_fast", "relu", "silu", "tanh", "gelu_feed_forward"):
    report = check_formula(name)
    print(f"{name:18} {len(report.rows)} cases:", "ok" if report.ok else report.sentence)
    assert report.ok

# %% [markdown]
# ## Three claims, tested
#
# **$\operatorname{gelu}(x) - \operatorname{gelu}(-x) = x$.** Since $\Phi(-x) = 1 - \Phi(x)$, the left side is
# $x\Phi(x) + x(1 - \Phi(x))$. GELU is half of the identity plus something even.
#
# **The feed-forward network looks at one token at a time.** Change one token, and no other output moves. Everything
# that words have to do with each other happens in attention.
#
# **It holds two thirds of a layer's parameters.**

# %%
rng = np.random.RandomState(7)
x = rng.randn(6, 2)
assert np.allclose(gelu(x) - gelu(-x), x)

before, _ = gelu_feed_forward(x, W1, b1, W2)
x[3] += 1.0
after, _ = gelu_feed_forward(x, W1, b1, W2)
moved = np.abs(after - before).max(axis=1) > 0
print("outputs that moved:", np.flatnonzero(moved))
assert moved.tolist() == [False, False, False, True, False, False]

H, I = 768, 3072
share = 2 * H * I / (2 * H * I + 4 * H * H)
print(f"share of the feed-forward weights in a layer: {share:.3f}")
assert abs(share - 2 / 3) < 1e-12

# %% [markdown]
# ## The picture
#
# Left: the bends. Middle: their slopes. ReLU has a corner, and no slope at all on its left side: a unit that is there
# for every input never learns again. GELU dips below zero, to $-0.17$ at $x = -0.75$, and its slope exceeds 1 for a
# while. Right: the two GELUs differ by less than $5 \cdot 10^{-4}$.

# %%
x = np.linspace(-4, 4, 801)
ones = np.ones_like(x)
difference = gelu(x) - gelu_new(x)
print(f"gelu is lowest at x = {x[gelu(x).argmin()]:.2f}: {gelu(x).min():.4f}")
print(f"both GELUs differ most at |x| = {abs(x[abs(difference).argmax()]):.2f}, by {abs(difference).max():.2e}")
assert abs(abs(difference).max() - 4.73e-4) < 1e-6 and abs(gelu(x).min() + 0.17) < 1e-3
draw(
    plotting.curves,
    "ch07_gelu.png",
    panels=[
        {
            "title": "the bends",
            "series": {"GELU": (x, gelu(x)), "ReLU": (x, relu(x)), "SiLU": (x, silu(x))},
            "xlabel": "x",
            "ylabel": "y",
        },
        {
            "title": "their slopes",
            "series": {
                "GELU": (x, gelu_backward(ones, x)),
                "ReLU": (x, relu_backward(ones, relu(x))),
                "SiLU": (x, silu_backward(ones, x)),
            },
            "xlabel": "x",
            "ylabel": "slope of y",
        },
        {
            "title": "by erf minus by tanh",
            "series": {"difference": (x, 1e4 * difference)},
            "xlabel": "x",
            "ylabel": "difference (1/10,000)",
        },
    ],
)

# %% [markdown]
# ## What others do
#
# * **The papers.** The Transformer has ReLU, BERT "gelu rather than the standard relu". Which of the two formulas is
#   not said.
# * **Google's code** computed GELU by erf when the checkpoints were trained, and by tanh since 2019.
# * **transformers** calls the erf form `gelu` and the tanh form `gelu_new`; the published BERT configurations say
#   `gelu`.
# * This library follows the names of transformers. Through 12 layers a difference of $5\cdot10^{-4}$ grows to
#   something that a comparison to five digits finds at once, and the eye never.
#
# ## Common mistakes
#
# The slope of one GELU with the forward of the other. Training does not notice; the two gradients point in the same
# direction to four digits. A check that allows one per cent does not notice either.


# %%
def slope_of_the_other(dy, x):
    return gelu_new_backward(dy, x)


def without_product_rule(dy, x):
    return dy * normal_cdf(x)


a, b = gelu_backward(ones, x), gelu_new_backward(ones, x)
cosine = a @ b / np.sqrt((a @ a) * (b @ b))
print(f"cosine between the two gradients: {cosine:.6f}\n")
assert cosine > 0.9999
for wrong in (slope_of_the_other, without_product_rule):
    report = check_formula("gelu", backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Others: $e^{-x^2}$ in place of $e^{-x^2/2}$; `erf(x)` without $\sqrt2$; giving the backward of tanh or ReLU the input
# where it expects the output ($1 - y^2$, not $1 - x^2$).
#
# ## Exercises
#
# **7.1** Derive the slope of GELU again from $\operatorname{erf}'(z) = \frac{2}{\sqrt\pi} e^{-z^2}$, without using
# $\Phi$ and $\varphi$. (`bertnp learn check 7.1`)
#
# **7.2** Write forward and backward of the whole feed-forward network with both offsets. Check it with
# `check_formula("feed_forward", forward, backward)`; see `bertnp.gradcheck.blocks` for what they take and return.
# (`bertnp learn check 7.2`)
#
# **7.3** Where is GELU's slope largest, and how large is it there? (Set the derivative of (7.2) to zero. It is at
# $x = \sqrt2$.)
#
# **7.4** "Quick GELU" is $x\,\sigma(1.702\, x)$. Derive its backward and draw its difference from GELU. Where is it
# largest? (`bertnp learn check 7.4`)
#
# **7.5** Replace GELU by the identity in (7.11). What are $W$ and $b$ of the one linear map that does the same?
#
# **7.6** Write GELU itself. (`bertnp learn check 7.6`)
#
# **7.7** *SwiGLU* (Shazeer 2020) multiplies two linear maps of $x$, one of which went through silu. Write it and its
# backward. By how many paths does $x$ reach the loss? (`bertnp learn check 7.7`)
