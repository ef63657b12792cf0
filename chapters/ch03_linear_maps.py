# %% [markdown]
# # 03 · Linear maps and broadcasting: the work of a network, and why shared numbers collect sums
#
# Needs: chapter 02. Runtime: 2 seconds.
#
# **What you will understand.** The one operation in which BERT spends most of its time and keeps most of its
# parameters; how its three gradients follow from one line of indices; what NumPy does when shapes differ
# ("broadcasting"), and the rule that undoes it on the way back: *what was copied collects a sum*.

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import linear, linear_backward, product, product_backward
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# A linear map makes from a vector of $n$ numbers a vector of $m$ numbers. Each output is a weighted sum of all inputs,
# plus an offset; the weights of all outputs are a table of $m \times n$ numbers. BERT-base has 73 such maps in it (six
# in each of 12 layers, and one more), and they hold 86 of its 109 million parameters. What makes a network of them is
# what stands between (chapters 05 to 09): two linear maps one after the other are only another linear map.
#
# The same weights serve *every token*. That is why a text of any length can be read, and it decides what the gradient
# of a weight is.
#
# ## The formula
#
# With $t$ for the token, one of $T$ in all, $i$ for the input and $j$ for the output:
#
# $$ y_{tj} = \sum_i x_{ti}\, W_{ji} + b_j \qquad\text{or, as matrices,}\qquad y = x W^{\mathsf T} + b \tag{3.1} $$
#
# $W$ has one row for each output: its shape is (outputs, inputs), $(m, n)$, and $W^{\mathsf T}$ is its transpose, with
# rows and columns exchanged. In NumPy the product of matrices is `@`.

# %%
show(linear)

# %% [markdown]
# ## By hand
#
# Two tokens of two numbers each; three outputs.

# %%
x = np.array([[1.0, 2.0], [3.0, 4.0]])  # (T, n): 2 tokens, 2 numbers
W = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])  # (m, n): 3 outputs
b = np.array([0.0, 1.0, 0.0])  # (m,)
y = linear(x, W, b)
show(x=x, W=W, b=b, y=y)
assert y.tolist() == [[1, 3, -1], [3, 5, -1]]

# %% [markdown]
# The first row: output 1 is $1\cdot1 + 2\cdot0 + 0 = 1$, output 2 is $1\cdot0 + 2\cdot1 + 1 = 3$, output 3 is
# $1 - 2 = -1$. $b$ has three numbers and was added to both rows: NumPy *broadcast* it.
#
# ## The backward, step by step
#
# Given is $dy_{tj}$, the slope of the loss by every output. We ask, of each input, *where it is used*, and add up what
# comes back (rule 2 of chapter 02).
#
# **$b_j$** stands in $y_{tj}$ of every token $t$, with slope 1:
#
# $$ db_j = \sum_t dy_{tj} \tag{a} $$
#
# **$W_{ji}$** stands in $y_{tj}$ of every token $t$, multiplied by $x_{ti}$:
#
# $$ dW_{ji} = \sum_t dy_{tj}\, x_{ti} \tag{b} $$
#
# **$x_{ti}$** stands in $y_{tj}$ for every output $j$ of its own token, multiplied by $W_{ji}$:
#
# $$ dx_{ti} = \sum_j dy_{tj}\, W_{ji} \tag{c} $$
#
# Now read these sums as products of matrices. In (c) the sum runs over the columns of $dy$ and the rows of $W$: that
# is just $dy\,W$. In (b) it runs over the rows of both, so the first must be transposed:
#
# $$ dx = dy\, W, \qquad dW = dy^{\mathsf T} x, \qquad db = \sum_t dy_t \tag{3.2} $$
#
# If you ever forget it, the shapes tell you. $dW$ must be $(m, n)$ like $W$; from $dy$ $(T, m)$ and $x$ $(T, n)$ there
# is but one way to get there.

# %%
show(linear_backward)
dy = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
dx, dW, db = linear_backward(dy, x, W)
show(dy=dy, dx=dx, dW=dW, db=db)
assert dx.tolist() == [[1, 0], [2, -1]]
assert dW.tolist() == [[1, 2], [3, 4], [6, 8]]
assert db.tolist() == [1, 1, 2]

# %% [markdown]
# Follow one of each: $db_3 = 0 + 2 = 2$; $dW_{31} = 0\cdot1 + 2\cdot3 = 6$; $dx_{22} = 0\cdot0 + 1\cdot1 + 2\cdot(-1) =
# -1$.
#
# The code takes any number of axes in front. A batch is $(B, S, n)$: $B$ texts of $S$ tokens each, $T = B S$ in all.
# `reshape(-1, n)` lays all tokens under each other, since to the weights it makes no difference which row of the batch
# a token is in. And it calls a formula of its own for the part without $b$, which BERT needs in places where the offset
# is added later:
#
# $$ y = x W^{\mathsf T} \tag{3.3} $$
#
# $$ dx = dy\, W, \qquad dW = dy^{\mathsf T} x \tag{3.4} $$

# %%
show(product, product_backward)
assert np.array_equal(product(x, W) + b, y)
assert np.array_equal(product_backward(dy, x, W)[1], dW)

# %% [markdown]
# (`out` lets the caller say where the result is to be put, so that no second array of that size is needed.)
#
# ## Broadcasting, and its way back
#
# When shapes differ, NumPy writes them right-aligned and copies along every axis that is missing or 1. Two examples;
# $H$ is how many numbers BERT has for each token, its **hidden size**:
#
#     x + b           (B, S, m)              words + positions    (B, S, H)
#                           (m)                                      (S, H)
#     copied along     B  S                  copied along         B
#
# No memory is filled, but in the mathematics every copy is a use of its own. So, by rule 2, on the way back *the
# gradient is summed along every axis along which the forward copied*. For $b$ those are $B$ and $S$; for the positions
# of chapter 04 only $B$; for a number that scales everything, all of them. As code:


# %%
def undo_broadcasting(gradient, shape):
    """Sum a gradient along the axes along which an array of this shape was copied."""
    extra = gradient.ndim - len(shape)
    gradient = gradient.sum(axis=tuple(range(extra)))
    copied = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return gradient.sum(axis=copied, keepdims=True)


rng = np.random.RandomState(3)
words, positions, scale = rng.randn(2, 5, 4), rng.randn(5, 4), rng.randn(2, 1, 1)


def add_and_scale(words, positions, scale):
    return scale * (words + positions)


def add_and_scale_backward(dy, words, positions, scale):
    return {
        "words": dy * scale,
        "positions": undo_broadcasting(dy * scale, positions.shape),
        "scale": undo_broadcasting(dy * (words + positions), scale.shape),
    }


report = check(add_and_scale, add_and_scale_backward, {"words": words, "positions": positions, "scale": scale})
print(report)
assert report.ok

# %% [markdown]
# ## Checked
#
# The library's linear map:

# %%
report = check_formula("linear")
print(report)
assert report.ok and check_formula("product").ok

# %% [markdown]
# ## Two claims, tested
#
# **The gradient of a batch is the sum of the gradients of its tokens.** That follows from (b), and is of use: a batch
# too large for memory can be computed in parts, if the gradients are added.

# %%
x, W, dy = rng.randn(6, 4), rng.randn(3, 4), rng.randn(6, 3)
_, whole, _ = linear_backward(dy, x, W)
parts = [linear_backward(dy[rows], x[rows], W)[1] for rows in (slice(0, 2), slice(2, 6))]
assert np.allclose(whole, parts[0] + parts[1])

# %% [markdown]
# **Two linear maps in a row are one.** $(x W_1^{\mathsf T}) W_2^{\mathsf T} = x (W_2 W_1)^{\mathsf T}$: without
# something bent in between, depth gains nothing.

# %%
W2 = rng.randn(5, 3)
assert np.allclose(product(product(x, W), W2), product(x, W2 @ W))

# %% [markdown]
# **And 86 million.** A map from $n$ to $m$ has $m(n + 1)$ parameters; a layer has four from 768 to 768, one from 768 to
# 3072 and one back; and there is one more at the end, from 768 to 768.

# %%
H, I = 768, 3072
parameters = 12 * (4 * H * (H + 1) + I * (H + 1) + H * (I + 1)) + H * (H + 1)
print(f"{parameters:,}")
assert round(parameters / 1e6) == 86

# %% [markdown]
# A word on cost: a product of $(T, n)$ and $(n, m)$ takes $T n m$ multiplications and as many additions. The backward
# has two such products: that is why a training step costs about three times as much as a forward.
#
# ## The picture
#
# The gradient of a weight, taken apart by tokens. Each token contributes a table of its own, output slope times input;
# what the weights get is their sum. (One weight, many uses, one sum.)

# %%
x = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0], [2.0, 1.0, 0.0]])
dy = np.array([[1.0, 0.5], [-1.0, 1.0], [0.5, 0.0]])
weights = np.zeros((2, 3))
each = [np.outer(dy[t], x[t]) for t in range(3)]
_, total = product_backward(dy, x, weights)
assert np.allclose(sum(each), total)
draw(
    plotting.matrices,
    "ch03_weight_gradient.png",
    panels=[
        {"title": title, "values": values, "rows": ["output 1", "output 2"] if t == 0 else None,
         "columns": ["x1", "x2", "x3"]}
        for t, (title, values) in enumerate(
            zip(["token 1", "+ token 2", "+ token 3", "= dW"], [*each, total], strict=True)
        )
    ],
    number="{:.1f}",
    height=2.0,
    unit="slope",
)  # fmt: skip

# %% [markdown]
# ## What others do
#
# * **The papers** write $xW + b$, with $W$ as (inputs, outputs).
# * **Google's code** stores it so, too: its checkpoints have `kernel` of shape (inputs, outputs).
# * **transformers** (PyTorch) stores (outputs, inputs) and computes $x W^{\mathsf T} + b$, as here; so its weights load
#   without a change, and Google's must be transposed.
# * A convolution of width 1, as some write it, is the same map under another name.
#
# ## Common mistakes


# %%
def sum_over_batch_only(dy, x, weight):
    dx, dweight, _ = linear_backward(dy, x, weight)
    return dx, dweight, dy.sum(axis=0)


def transposed(dy, x, weight):
    dx, dweight, dbias = linear_backward(dy, x, weight)
    return dx, dweight.T, dbias


def averaged(dy, x, weight):
    dx, dweight, dbias = linear_backward(dy, x, weight)
    return dx, dweight, dbias / dy.reshape(-1, dy.shape[-1]).shape[0]


for wrong in (sum_over_batch_only, transposed, averaged):
    report = check_formula("linear", backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# The last is worth a second look. A mean over the batch does belong somewhere: into the *loss*, once (chapter 05). A
# backward that divides again is wrong by a factor that depends on the size of the batch. With $n = m$, by the way, a
# transposed gradient fits and no shape complains: never test with square weights.
#
# ## Exercises
#
# **3.1** Derive (3.2) again for $y = x W$, with $W$ of shape $(n, m)$ as in the papers. Check with `check`.
# (`bertnp learn check 3.1`)
#
# **3.2** Write the backward of `y = x * w` with `x` of shape $(B, S, H)$ and `w` of shape $(H)$, and of shape
# $(S, 1)$. (`bertnp learn check 3.2`)
#
# **3.3** A product of two inputs: $S = Q K^{\mathsf T}$ with $Q$ $(S, D)$ and $K$ $(K, D)$. What are $dQ$ and $dK$?
# (You will need them in chapter 09.) (`bertnp learn check 3.3`)
#
# **3.4** With $T$ tokens, $n$ inputs and $m$ outputs: how many multiplications does each of the three gradients take?
# Which is the cheap one?
#
# **3.5** Write (3.1) and (3.2), for any number of axes in front. (`bertnp learn check 3.5`)
