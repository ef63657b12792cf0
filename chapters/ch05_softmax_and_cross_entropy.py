# %% [markdown]
# # 05 · Softmax and cross-entropy: scores become shares, and a loss whose gradient is a difference
#
# Needs: chapters 02 and 03. Runtime: 2 seconds.
#
# **What you will understand.** How any list of numbers becomes probabilities; why every output of a softmax depends on
# every input, and what that does to its gradient; where the loss of BERT comes from, why it begins at $\ln V$, and why
# its gradient is simply *what was predicted minus what was right*.

# %%
import math

import numpy as np

from bertnp import plotting
from bertnp.functional import (
    binary_cross_entropy,
    binary_cross_entropy_backward,
    cross_entropy,
    cross_entropy_backward,
    log_softmax,
    log_softmax_backward,
    mean_squared_error,
    mean_squared_error_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
)
from bertnp.gradcheck import check_formula
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# A network that has to choose between $C$ things (which word? which class? which token to look at?) gives each a
# **score**, any number; such scores are called *logits*. We want shares: positive, adding up to 1, a higher score a
# larger share. Take $e$ to the power of each score, which makes it positive, and divide by the sum. That is all of
# softmax. A lead of $\ln 2 \approx 0.69$ in score is twice the share, whatever the others have.
#
# ## The formula
#
# $$ y_j = \frac{e^{x_j}}{\sum_k e^{x_k}} \tag{5.1} $$

# %%
show(softmax)

# %% [markdown]
# Why is the largest subtracted? A constant $c$ added to all scores multiplies every $e^{x}$ by $e^c$, above and below
# the line, and cancels. So one may subtract what one likes; and one has to, since $e^{800}$ is too large for a
# computer:

# %%
large = np.array([800.0, 801.0, 799.0])
with np.errstate(over="ignore", invalid="ignore"):
    naive = np.exp(large) / np.exp(large).sum()
print("naive:", naive, "  softmax:", softmax(large).round(4))
assert np.isnan(naive).all() and np.allclose(softmax(large), softmax(large - 800))

# %% [markdown]
# ## By hand
#
# Scores whose powers are easy: $x = (\ln 1, \ln 2, \ln 5)$. The powers are $1, 2, 5$, their sum is 8, and so
# $y = (\frac18, \frac14, \frac58)$.

# %%
x = np.log([1.0, 2.0, 5.0])
y = softmax(x)
show(x=x, y=y)
assert np.allclose(y, [1 / 8, 1 / 4, 5 / 8])

# %% [markdown]
# ## The backward of softmax, step by step
#
# Let $Z = \sum_k e^{x_k}$, so that $y_j = e^{x_j} / Z$. Every $x_i$ stands in $Z$, so every output depends on every
# input. The quotient rule, $(u/v)' = (u'v - uv')/v^2$, with $\partial Z / \partial x_i = e^{x_i}$:
#
# *The same place, $i = j$:*
#
# $$ \frac{\partial y_i}{\partial x_i} = \frac{e^{x_i} Z - e^{x_i} e^{x_i}}{Z^2} = y_i - y_i^2 \tag{a} $$
#
# *Another place, $i \ne j$,* where $e^{x_j}$ is a constant:
#
# $$ \frac{\partial y_j}{\partial x_i} = \frac{0 - e^{x_j} e^{x_i}}{Z^2} = -\,y_j\, y_i \tag{b} $$
#
# All these slopes as a table (the *Jacobian*) are $\operatorname{diag}(y) - y y^{\mathsf T}$. Its rows add up to zero:
# what one share gains, the others lose. Now rule (a) of chapter 02, $dx_i = \sum_j dy_j\, \partial y_j/\partial x_i$:
#
# $$ dx_i = dy_i\, y_i - \sum_j dy_j\, y_j\, y_i \tag{c} $$
#
# and with $y_i$ before the bracket:
#
# $$ dx_i = y_i \Big( dy_i - \sum_k dy_k\, y_k \Big) \tag{5.2} $$
#
# The sum is the mean of $dy$, weighted by the shares. Only what differs from that mean comes through: a slope that is
# the same for all places changes nothing, for the shares cannot all rise.

# %%
show(softmax_backward)
dy = np.array([8.0, 0.0, 0.0])
dx = softmax_backward(dy, y)
show(dy=dy, dx=dx)
assert np.allclose(dx, [7 / 8, -1 / 4, -5 / 8])  # the weighted mean of dy is 8/8 = 1
jacobian = np.diag(y) - np.outer(y, y)
assert np.allclose(jacobian @ dy, dx) and np.allclose(jacobian.sum(axis=0), 0)

# %% [markdown]
# ## The logarithm of it
#
# A loss wants the *logarithm* of a share, and taking it directly is both shorter and safer, since a tiny share might
# round to 0, which has no logarithm:
#
# $$ y_j = x_j - \ln \sum_k e^{x_k} \tag{5.3} $$
#
# $x_i$ stands in $y_i$ itself, with slope 1, and in the sum of every $y_j$, with slope $-e^{x_i}/Z$, which is minus the
# share $p_i = e^{y_i}$:
#
# $$ dx_i = dy_i - p_i \sum_k dy_k, \qquad p_i = e^{y_i} \tag{5.4} $$

# %%
show(log_softmax, log_softmax_backward)
assert np.allclose(log_softmax(x), np.log(y))
tiny = np.array([0.0, -2000.0])
print("log of the softmax:", log_softmax(tiny)[1], "  and its share, rounded:", softmax(tiny)[1])
assert log_softmax(tiny)[1] == -2000 and softmax(tiny)[1] == 0

# %% [markdown]
# ## Cross-entropy: the loss
#
# The right answer of row $i$ is class $\ell_i$. The network gave it the share $p_i[\ell_i]$. If it was 1, there is
# nothing to improve, and the loss should be 0; if it was near 0, the loss should be large. $-\ln p$ does that, and
# the mean over all labelled rows is the loss of BERT:
#
# $$ L = \frac1N \sum_i -\ln p_i[\ell_i], \qquad p_i = \operatorname{softmax}(\text{logits}_i) \tag{5.5} $$
#
# The sum runs over the $N$ rows that *have* a label; $-100$ means "none". In masked-word training six tokens in seven
# have none. (`label_smoothing`, $\varepsilon$, takes a share $\varepsilon$ of the target from the right class and
# spreads it over all; BERT leaves it at 0.)

# %%
show(cross_entropy)
logits = np.array([np.log([1.0, 2.0, 5.0]), [0.0, 0.0, 0.0], [3.0, -1.0, 2.0]])
labels = np.array([1, 2, -100])
loss, log_p = cross_entropy(logits, labels)
print(f"-ln(1/4) = {math.log(4):.4f}, -ln(1/3) = {math.log(3):.4f}, their mean = {float(loss):.4f}")
assert math.isclose(loss, (math.log(4) + math.log(3)) / 2)

# %% [markdown]
# The second row has equal scores: its loss is $\ln 3$. A network that knows nothing gives about equal scores to all
# $V$ words, so **a loss begins near $\ln V$**, $\ln 30522 = 10.3$ for BERT. If yours begins elsewhere, look for a
# mistake before you train.
#
# **Backward.** $-\frac1N \ln p_i[\ell_i]$ has slope $-\frac1N$ by the logarithm of the right class, and 0 by all
# others. Put that $dy$ into (5.4): its sum is $-\frac1N$, so $dx = dy + \frac1N p$. With $t_i$ for the one-hot row, 1
# at the right class:
#
# $$ d\text{logits}_i = \frac{dL}{N}\, (p_i - t_i), \qquad 0 \text{ in rows without a label} \tag{5.6} $$
#
# Predicted minus right. It could not be simpler: the right class is pushed up by what it lacks, each other one down by
# what it has too much.

# %%
show(cross_entropy_backward)
dlogits = cross_entropy_backward(1.0, log_p, labels)
show(dlogits=dlogits)
assert np.allclose(dlogits[0], np.array([1 / 8, 1 / 4 - 1, 5 / 8]) / 2)  # N = 2 rows have labels
assert (dlogits[2] == 0).all()

# %% [markdown]
# ## Its relatives
#
# **Sigmoid** is the softmax of two scores of which one is always 0: $\sigma(x) = e^x/(e^x + e^0)$. By (a), its slope is
# $y - y^2$:
#
# $$ y = \sigma(x) = \frac1{1 + e^{-x}} \tag{5.7} $$
#
# $$ dx = dy\; y\,(1 - y) \tag{5.8} $$
#
# **Binary cross-entropy**, for questions that may be answered yes independently of each other (a text may be both
# *sport* and *politics*), with the target $t$ 0 or 1, and $n$ answers in all:
#
# $$ L = \frac1n \sum -t \ln \sigma(x) - (1 - t) \ln(1 - \sigma(x)) \tag{5.9} $$
#
# By (5.8), $\ln \sigma$ has slope $\sigma(1-\sigma)/\sigma = 1 - \sigma$, and $\ln(1 - \sigma)$ has $-\sigma$. So the
# slope is $-t(1 - \sigma) + (1 - t)\sigma = \sigma - t$. Predicted minus right, once more:
#
# $$ dx = \frac{dL}{n} \big(\sigma(x) - t\big) \tag{5.10} $$
#
# **Mean squared error**, where the answer is a number (how similar are two sentences?):
#
# $$ L = \frac1n \sum (x - t)^2 \tag{5.11} $$
#
# $$ dx = \frac{dL}{n}\, 2\,(x - t) \tag{5.12} $$

# %%
show(sigmoid, sigmoid_backward, binary_cross_entropy, binary_cross_entropy_backward)
show(mean_squared_error, mean_squared_error_backward)
scores, targets = np.array([[0.0, math.log(3.0)]]), np.array([[1.0, 0.0]])
assert np.allclose(sigmoid(scores), [[1 / 2, 3 / 4]])
assert np.allclose(binary_cross_entropy(scores, targets), (math.log(2) + math.log(4)) / 2)
assert np.allclose(binary_cross_entropy_backward(1.0, scores, targets), [[-1 / 4, 3 / 8]])

# %% [markdown]
# ## Checked

# %%
for name in ("softmax", "log_softmax", "cross_entropy", "sigmoid", "binary_cross_entropy", "mean_squared_error"):
    report = check_formula(name)
    print(f"{name:22} {len(report.rows)} cases:", "ok" if report.ok else report.sentence)
    assert report.ok

# %% [markdown]
# ## Two claims, tested
#
# **The numbers of a softmax's $dx$ add up to zero,** since a constant added to all scores changes nothing.
#
# **No slope of cross-entropy is larger than 1** (times $1/N$): $p - t$ lies between $-1$ and 1. However wrong a
# network is, the loss pushes with bounded force. A square of $p - t$ would be worse: where the network is sure *and*
# wrong, its slope vanishes, since the softmax's own slope $y(1-y)$ does.

# %%
rng = np.random.RandomState(5)
x, dy = 3 * rng.randn(4, 6), rng.randn(4, 6)
assert abs(softmax_backward(dy, softmax(x)).sum(axis=-1)).max() < 1e-14

sure_and_wrong = np.array([[20.0, 0.0]])  # the right class is 1
_, log_p = cross_entropy(sure_and_wrong, np.array([1]))
p = np.exp(log_p)
by_entropy = cross_entropy_backward(1.0, log_p, np.array([1]))
by_square = softmax_backward(2 * (p - [[0.0, 1.0]]), p)
print("sure and wrong: slope by cross-entropy", by_entropy[0].round(6), " by squared error", by_square[0])
assert abs(by_entropy).max() > 0.99 and abs(by_square).max() < 1e-7

# %% [markdown]
# ## The picture
#
# The Jacobian of a softmax. On the diagonal $y_i - y_i^2$, elsewhere $-y_i y_j$; every row adds up to zero. Its blocks
# are strong where two large shares compete, and it is next to nothing where one has won already.

# %%
undecided, decided = softmax(np.array([1.0, 0.8, 0.5, -1.0])), softmax(np.array([6.0, 0.8, 0.5, -1.0]))
panels = []
for title, y in (("undecided", undecided), ("decided", decided)):
    rows = [f"y = {share:.2f}" for share in y]
    values = np.diag(y) - np.outer(y, y)
    assert abs(values.sum(axis=1)).max() < 1e-15
    columns = [f"x{i + 1}" for i in range(4)]
    panels.append({"title": title, "values": values, "rows": rows, "columns": columns})
draw(plotting.matrices, "ch05_jacobian.png", panels=panels, unit="slope of y by x")

# %% [markdown]
# ## What others do
#
# * **The paper** says only that masked words are predicted "with cross entropy loss".
# * **Google's code** divides the sum by $N + 10^{-5}$, so that a batch without labels gives 0 and not a division by
#   zero.
# * **transformers** takes the mean over labels that are not $-100$; a batch without any gives "not a number", and so
#   does PyTorch. Here it gives 0.
# * **The original Transformer** smooths its labels with $\varepsilon = 0.1$; BERT does not.
#
# ## Common mistakes
#
# The mean over the wrong number is the most frequent mistake in published BERT code: over all $B S$ positions instead
# of the $N$ labelled ones. Training works, with a learning rate seven times too small.


# %%
def diagonal_only(dy, y):
    return dy * y * (1 - y)


def mean_over_all_rows(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    right = cross_entropy_backward(dloss, log_p, labels, ignore_index, label_smoothing)
    return right * (labels != ignore_index).sum() / len(labels)


for name, wrong in (("softmax", diagonal_only), ("cross_entropy", mean_over_all_rows)):
    report = check_formula(name, backward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Others: a softmax before a loss that takes logits, so that it is applied twice (it trains, badly); softmax over the
# wrong axis, so that the columns add up to 1; `ignore_index=0` for a loss in which 0 is a class, such as "the second
# sentence follows": that class then never counts.
#
# ## Exercises
#
# **5.1** Write a softmax that does not overflow, for the last axis of any array. (`bertnp learn check 5.1`)
#
# **5.2** Write its backward from (5.2), and once more with the full Jacobian. How many numbers does each need to hold
# for $B \cdot A \cdot S$ rows of length $S$? (`bertnp learn check 5.2`)
#
# **5.3** Put softmax and cross-entropy together: show that going through (5.2) with $dy = -t/(N p)$ gives (5.6), too.
# Why does nobody compute it that way?
#
# **5.4** Derive the gradient with label smoothing. (The target row is $(1-\varepsilon)\,t + \varepsilon/C$.)
# (`bertnp learn check 5.4`)
#
# **5.5** The temperature: $\operatorname{softmax}(x/\tau)$. What happens to the shares for small $\tau$, for large
# $\tau$? What is the backward by $x$, and by $\tau$? (`bertnp learn check 5.5`)
#
# **5.6** The *focal loss* (Lin et al. 2017) counts examples that are right already less: $-(1 - p)^\gamma \log p$.
# Write it with its gradient; the weight depends on the scores, too. (`bertnp learn check 5.6`)
#
# **5.7** *Sparsemax* (Martins & Astudillo 2016) makes shares of which some are exactly 0:
# $y_j = \max(x_j - \tau, 0)$, with the $\tau$ for which they add up to 1. Write it and its backward.
# (`bertnp learn check 5.7`)
#
# **5.8** Write a test that tells a softmax from sixteen functions that are none, without writing a softmax: what must
# hold for its rows, for large numbers, for a constant that is added? (`bertnp learn check 5.8`)
