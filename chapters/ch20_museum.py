# %% [markdown]
# # 20 · The museum of broken BERTs: twelve real mistakes, and the check that catches each
#
# Needs: chapters 02, 03, 04, 05, 06, 07, 08 and 09. Runtime: 3 seconds.
#
# **What you will understand.** How code can be wrong and yet run, train, and be copied for years; twelve mistakes that
# stood (some still stand) in public code, each written again in about ten lines; what all twelve have in common; how a
# check recognises a mistake by nine digits and calls it by its name; and how a check itself can be blind.

# %%
import numpy as np

from bertnp import BertConfig, BertForMaskedLM, plotting
from bertnp.functional import (
    attention,
    cross_entropy,
    embedding,
    embedding_backward,
    layer_norm,
    layer_norm_backward,
    masked_softmax,
    softmax,
    softmax_backward,
)
from bertnp.gradcheck import check, check_formula, mistakes
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn import draw, show
from bertnp.nn import LayerNorm, Module

# %% [markdown]
# ## The idea
#
# A broken program usually stops. A broken network usually learns: what is left of its gradient still points downhill,
# more or less, and the loss falls. It ends at 2.3 instead of 2.1, and nobody has a 2.1 to compare with.
#
# The exhibits come from projects that many people read, and that is why the mistakes were found at all: someone looked
# closely and wrote to the authors. Each card names the place. None of it is the others' code; the mistake alone is
# written again, as small as it goes. Everyone who has derived these formulas has made some of them.
#
# Look for one thing in each: **is there data on which the mistake cannot be seen?** For every exhibit we measure the
# error twice, on such lazy data and on honest data.
#
# ## The formula
#
# How far off is an answer $a$ from the right one, $b$? The largest difference, as a share of the largest number. If
# that share is not more than rounding can make it,
#
# $$ \max_i |a_i - b_i| \;\le\; 10^{-9} \cdot \max\big( \max_i |a_i|,\ \max_i |b_i| \big) \tag{20.1} $$
#
# the two came from the same formula. With $b$ the right answer, that is a test. But $b$ may also be the answer of a
# *wrong* formula that somebody once wrote. If then nine digits agree on random numbers, there is no doubt which mistake
# it is. So the library keeps a collection of wrong formulas, and runs them beside yours.

# %%
show(same_numbers)
print(f"the library knows {len(mistakes())} mistakes")
hall = {}  # what hangs in the museum: name -> errors in percent on lazy and on honest data


def hang(name, lazy, honest):
    """Measure two pairs of (wrong, right) answers."""
    errors = [np.abs(np.asarray(a) - b).max() / np.abs(b).max() for a, b in (lazy, honest)]
    hall[name] = [100 * float(error) for error in errors]
    print(f"exhibit {len(hall)}, {name}: {hall[name][0]:.1f} % on lazy data, {hall[name][1]:.0f} % on honest data")
    assert hall[name][0] < 0.1 and hall[name][1] > 5


def caught(report, mistake=None):
    """Print what the check says, and make sure it says it."""
    print(f"    {report.sentence}\n")
    assert not report.ok and (mistake is None or report.mistake == mistake), report.mistake


rng = np.random.RandomState(20)

# %% [markdown]
# ## By hand
#
# ### 1 · The layer norm that was copied
#
# *The Annotated Transformer, issue 122 and pull request 119; BERT-pytorch, issue 30, whose author says that he took it
# from there; others after them.* The formula above the code was right. The code used a library's standard deviation,
# which divides by $H - 1$, and added $\varepsilon$ to it, outside the root.
#
# By hand, with $H = 4$, $x = (1, 0, 0, 0)$: the mean is $\frac14$, the squares of the distances add up to $\frac9{16} +
# \frac3{16} = \frac34$. Divided by 4, the root is $\sqrt{3}/4 = 0.433$, and $\hat x_1 = \frac34 / 0.433 = \sqrt 3$.
# Divided by 3 it is $\frac12$, and $\hat x_1 = \frac32$: a factor $\sqrt{3/4}$ too small. With $H = 768$ the factor is
# $\sqrt{767/768}$, and no one sees it, until one loads weights that were trained with the other.


# %%
def copied_layer_norm(x, weight, bias, eps=1e-12):
    deviation = x.std(axis=-1, keepdims=True, ddof=1) + eps
    x_hat = (x - x.mean(axis=-1, keepdims=True)) / deviation
    return weight * x_hat + bias, x_hat, 1 / deviation


def both(x):
    return [f(x, np.ones(x.shape[-1]), np.zeros(x.shape[-1]))[0] for f in (copied_layer_norm, layer_norm)]


wrong, right = both(np.array([[1.0, 0.0, 0.0, 0.0]]))
show(wrong=wrong, right=right)
assert np.allclose(wrong[0, 0], 1.5) and np.allclose(right[0, 0], np.sqrt(3))
hang("layer norm, H - 1", both(rng.randn(5, 768)), both(rng.randn(5, 4)))
caught(check_formula("layer_norm", forward=copied_layer_norm), "n - 1 and eps outside")

# %% [markdown]
# A gradient check would *not* have found it: the derivative of the wrong formula can be perfectly right. Wrong forwards
# need something to be compared with.
#
# ## Room one: wrong forwards
#
# ### 2 · Queries in competition
#
# *labml's annotated implementations, issue 146.* The softmax ran over the queries. So it is not the keys that compete
# for a query's attention, but the queries for a key's. It trained; the reporter measured the quality of the pictures
# and found no difference. While all scores are alike, at the beginning, it *is* the same.


# %%
def over_the_queries(query, key, value, mask=None, keep=None, p=0.0):
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    turned = scores.swapaxes(-1, -2)
    allowed = None if mask is None else np.broadcast_to(mask, scores.shape).swapaxes(-1, -2)
    P = masked_softmax(turned, allowed).swapaxes(-1, -2)
    return (P if keep is None else P * keep / (1 - p)) @ value, P


Q, K, V = rng.randn(2, 3, 5, 4), rng.randn(2, 3, 5, 4), rng.randn(2, 3, 5, 4)
at_first = [f(0 * Q, K, V)[0] for f in (over_the_queries, attention)]
hang("softmax over queries", at_first, [f(Q, K, V)[0] for f in (over_the_queries, attention)])
print("sums of the rows:", over_the_queries(Q, K, V)[1][0, 0].sum(axis=-1).round(2))
caught(check_formula("attention", forward=over_the_queries), "softmax over the queries")

# %% [markdown]
# Rows of shares must add up to 1. Print them once, and it is plain.
#
# ### 3 · A mask that does nothing
#
# *Dive into Deep Learning, issue 2582.* Masked words are predicted at some places only; the others get weight 0. But
# the loss it was multiplied with was *already a mean*, one number. Times the weights, divided by their sum, it is the
# same mean again: over all places, those without a label counted as word 0.


# %%
def mean_before_the_mask(logits, labels, ignore_index=-100, label_smoothing=0.0):
    known = labels != ignore_index
    loss, log_p = cross_entropy(logits, np.where(known, labels, 0), label_smoothing=label_smoothing)
    return (loss * known).sum() / max(known.sum(), 1), log_p


logits = rng.randn(12, 7) * 2
every, few = np.arange(12) % 7, np.where(np.arange(12) < 4, np.arange(12), -100)
pairs = [[f(logits, labels)[0] for f in (mean_before_the_mask, cross_entropy)] for labels in (every, few)]
hang("mask without effect", *pairs)
caught(check_formula("cross_entropy", forward=mean_before_the_mask), "unlabelled rows counted")

# %% [markdown]
# ### 4 · The mean over everybody
#
# *pytorchic-bert, issue 24; and others.* The weights are applied in time, but then comes a plain mean over all places,
# also those with weight 0. With one place in seven labelled, loss and gradient are seven times too small. And how many
# there are differs from batch to batch, so it is not just another learning rate.


# %%
def mean_over_all(logits, labels, ignore_index=-100, label_smoothing=0.0):
    loss, log_p = cross_entropy(logits, labels, ignore_index, label_smoothing)
    return loss * (labels != ignore_index).sum() / len(labels), log_p


hang("mean over all rows", *([f(logits, labels)[0] for f in (mean_over_all, cross_entropy)] for labels in (every, few)))
caught(check_formula("cross_entropy", forward=mean_over_all), "mean over all rows")

# %% [markdown]
# ### 5 · Nothing is ever not the next sentence
#
# *BERT-pytorch, issues 49 and 98.* One loss for both tasks, told to leave out label 0, because 0 is padding among the
# words. In the next-sentence task 0 is one of the two answers. So that answer costs nothing, the model learns to say
# always the other, the loss is splendid, and half of its answers are wrong. A user had noticed just that.


# %%
def one_loss_for_both(logits, labels, ignore_index=-100, label_smoothing=0.0):
    return cross_entropy(logits, np.where(labels == 0, ignore_index, labels), ignore_index, label_smoothing)


always_one = np.array([[0.0, 9.0]] * 6)
is_next, mixed = np.ones(6, int), np.array([0, 1] * 3)
wrong = [one_loss_for_both(always_one, labels)[0] for labels in (is_next, mixed)]
right = [cross_entropy(always_one, labels)[0] for labels in (is_next, mixed)]
print(f"'always 1' on a mixed batch: loss {wrong[1]:.4f}, in truth {right[1]:.4f}")
assert wrong[1] < 0.001 < 4 < right[1]
hang("class 0 ignored", *zip(wrong, right, strict=True))
caught(check_formula("cross_entropy", forward=one_loss_for_both), "class 0 not counted")

# %% [markdown]
# ## Room two: wrong backwards
#
# ### 6 · A mean too many
#
# *numpy-transformer, the softmax.* The slope is divided by the batch size, once in the loss, where it belongs, and
# again in each softmax: once for every layer of attention. The deeper, the less queries and keys learn. An optimiser
# like Adam, which does not care for the size of gradients, hides it.


# %%
def divided_by_the_batch(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True)) / len(y)


for_one, for_six = ((rng.randn(B, 5), softmax(rng.randn(B, 5))) for B in (1, 6))
hang("softmax over batch size", *([f(*data) for f in (divided_by_the_batch, softmax_backward)]
                                  for data in (for_one, for_six)))  # fmt: skip
caught(check_formula("softmax", backward=divided_by_the_batch), "divided by the batch")

# %% [markdown]
# ### 7 · Gamma comes too late
#
# *numpy-transformer, the layer norm.* By (6.2), with $g = \gamma\, dy$ and $s = 1/\sqrt{\sigma^2 + \varepsilon}$, it is
#
# $$ dx = s\, \big( g - \operatorname{mean}(g) - \hat x \operatorname{mean}(g\, \hat x) \big), \quad\text{not}\quad
#    \gamma\, s\, \big( dy - \operatorname{mean}(dy) - \hat x \operatorname{mean}(dy\, \hat x) \big) \tag{a} $$
#
# When are they the same? Their difference is $s\,(\gamma \operatorname{mean}(dy) - \operatorname{mean}(\gamma\, dy)) +
# s\, \hat x\, (\gamma \operatorname{mean}(dy\, \hat x) - \operatorname{mean}(\gamma\, dy\, \hat x))$. If $\gamma$ has
# the same number everywhere, it can be pulled out of each mean, and all of it vanishes. Every $\gamma$ begins as 1. So
# the gradient is right in the first step, right in every test of a fresh layer, and wrong from the second step on.


# %%
def gamma_too_late(dy, x_hat, inv_std, weight):
    mean, along = dy.mean(axis=-1, keepdims=True), (dy * x_hat).mean(axis=-1, keepdims=True)
    _, dgamma, dbeta = layer_norm_backward(dy, x_hat, inv_std, weight)
    return weight * inv_std * (dy - mean - x_hat * along), dgamma, dbeta


def both(gamma):
    _, x_hat, inv_std = layer_norm(x, gamma, np.zeros(6))
    return [f(dy, x_hat, inv_std, gamma)[0] for f in (gamma_too_late, layer_norm_backward)]


x, dy = rng.randn(4, 6), rng.randn(4, 6)
hang("gamma after the means", both(np.ones(6)), both(1 + rng.randn(6)))
caught(check_formula("layer_norm", backward=gamma_too_late), "gamma after the means")

# %% [markdown]
# ### 8 · The last one wins
#
# *PyTorch, issue 1528, in 2017; tt-metal, issue 6232; and most first attempts with NumPy.* A word that stands in the
# text twice gets two slopes for its row, which add up (4.2). Written as an assignment, the last one is left. The
# test data of such code are ids like 0, 1, 2, 3.


# %%
def last_one_wins(dy, ids, table, padding_idx=None):
    dtable = np.zeros_like(table)
    dtable[ids] = dy
    return dtable


table, dy = rng.randn(7, 3), rng.randn(4, 3)
unique, repeated = np.array([0, 1, 2, 3]), np.array([2, 5, 2, 2])
hang("repeated ids assigned", *([f(dy, ids, table) for f in (last_one_wins, embedding_backward)]
                                for ids in (unique, repeated)))  # fmt: skip
caught(check_formula("embedding", backward=last_one_wins), "assigned")

# %% [markdown]
# ## Room three: right formulas, wrongly joined
#
# ### 9 · One memory for two visits
#
# *numpy-transformer, the encoder layer.* A layer remembers from its forward what its backward needs. One dropout object
# stood behind attention *and* behind the feed-forward network. The second visit writes its mask over the first one's,
# so that the first gradient goes back through the wrong mask. Each formula is right; with dropout off, everything is.


# %%
class Dropout:
    p = 0.5

    def forward(self, x, keep):
        self.keep = keep
        return x * keep / (1 - self.p)

    def backward(self, dy):
        return dy * self.keep / (1 - self.p)


shared = Dropout()


def twice(x, first, second):
    return shared.forward(np.tanh(shared.forward(x, first)), second)


def twice_backward(dy, x, first, second):
    u = np.tanh(x * first / (1 - shared.p))
    return {"x": shared.backward(shared.backward(dy) * (1 - u * u))}


masks = {"first": rng.rand(3, 4) > 0.5, "second": rng.rand(3, 4) > 0.5}
x, dy, same = rng.randn(3, 4) / 2, rng.randn(3, 4), dict.fromkeys(masks, masks["first"])
pairs = []
for keep in (same, masks):
    twice(x, **keep)
    u = np.tanh(x * keep["first"] * 2)
    right = dy * keep["second"] * 2 * (1 - u * u) * keep["first"] * 2
    pairs.append((twice_backward(dy, x, **keep)["x"], right))
hang("one dropout, two visits", *pairs)
caught(check(twice, twice_backward, {"x": x, **masks}, wrt=("x",)))

# %% [markdown]
# Lazy here: both masks alike, or no dropout at all. In this library a layer that is called twice in a forward says so:


# %%
class Careless(Module):
    def __init__(self):
        self.norm = LayerNorm(4)

    def forward(self, x):
        return self.norm(self.norm(x))


careless = Careless()
careless.allocate(np.float64)
try:
    careless(x)
    complaint = ""
except RuntimeError as error:
    complaint = str(error)
print(complaint)
assert "called twice in one forward" in complaint

# %% [markdown]
# ### 10 · Tied is not copied
#
# *LLMs-from-scratch, issue 822, on a larger model than ours; soon put right.* The table that scores the words is to be
# *the same* as the one that looks them up. A copy has the same numbers, and every test of a freshly made or loaded
# model passes. In training each of the two gets only its half of the gradient, and they part after the first step.


# %%
def step(dE_lookup, dE_scores, tied, lr=0.1):
    E, out = table.copy(), table.copy()
    if tied:
        E -= lr * (dE_lookup + dE_scores)
        return E, E
    return E - lr * dE_lookup, out - lr * dE_scores


ids, dscores = np.array([2, 5, 2, 2]), rng.randn(4, 7)
h = embedding(ids, table)
halves = embedding_backward(dscores @ table, ids, table), dscores.T @ h
hang("copied, not tied", *([np.subtract(*step(*halves, tied=False, lr=lr)) + table, table] for lr in (0.0, 0.1)))
assert np.array_equal(*step(*halves, tied=True))
caught(check_formula("tied_table", backward=lambda dy, ids, table: embedding_backward(dy @ table, ids, table)),
       "only the lookup's half")  # fmt: skip

# %% [markdown]
# The test that asks the right question is not "are they equal?" but "are they one?":

# %%
sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
model = BertForMaskedLM(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes), seed=0)
words = model.bert.embeddings.word_embeddings.weight
scoring = model.cls.predictions.decoder.weight
assert scoring is words and np.shares_memory(scoring.data, words.data)

# %% [markdown]
# ### 11 · The weights that never learn
#
# *TinyTorch, pull request 1504 of its book.* $\gamma$ and $\beta$ of layer norm were made without the mark "is to be
# trained". Training left them at 1 and 0. There *was* a test of their gradients; it set the mark itself before it
# looked. In small: fit the layer's output to a target, with all parameters, and with the unmarked left out.


# %%
def train(marked, steps, lr=0.2):
    parameters = {"gamma": np.ones(4), "beta": np.zeros(4)}
    for _ in range(steps):
        y, x_hat, inv_std = layer_norm(x, **dict(zip(("weight", "bias"), parameters.values(), strict=True)))
        _, dgamma, dbeta = layer_norm_backward((y - goal) / len(x), x_hat, inv_std, parameters["gamma"])
        for name, slope in (("gamma", dgamma), ("beta", dbeta)):
            if name in marked:
                parameters[name] -= lr * slope
    return parameters


goal = layer_norm(x, np.array([2.0, 0.5, 1.0, 3.0]), np.ones(4))[0]
learnt, stuck = train({"gamma", "beta"}, steps=50), train(set(), steps=50)
hang("never trained", *([train(set(), steps)["gamma"], train({"gamma"}, steps)["gamma"]] for steps in (0, 50)))
moved = {name: bool((stuck[name] != start).any()) for name, start in (("gamma", 1.0), ("beta", 0.0))}
print("which weights has a training moved?", moved)
assert not any(moved.values()) and (learnt["gamma"] != 1).all() and (learnt["beta"] != 0).all()

# %% [markdown]
# The check: train a few steps, and list what has not moved. It takes a minute to write and finds every forgotten
# weight, whatever the reason.
#
# ## Room four: the check that is blind
#
# ### 12 · Asking with ones
#
# *The gradient checks of needle (a university course), DeZero and minitorch; in MobulaOP, pull request 94, the note
# that its check is not for softmax.* To check a backward one needs some $dy$. Ones are convenient: the loss is then
# the plain sum of the outputs. But the outputs of a softmax add up to 1, whatever goes in. By (5.2)
#
# $$ dx_i = y_i \Big( 1 - \sum_k 1 \cdot y_k \Big) = y_i\, (1 - 1) = 0 \tag{b} $$
#
# The true gradient is zero. A backward that returns zeros is then without fault, and so is one with the sign turned
# round. Here is one that says nothing at all, and what a check says of it that asks with ones:


# %%
def silent(dy, y):
    return np.zeros_like(y)


y = softmax(rng.randn(3, 5))
ones, random = np.ones(y.shape), rng.randn(*y.shape)
print("largest slope under ones:", abs(softmax_backward(ones, y)).max())
hang("a check with ones", [silent(ones, y) + y, softmax_backward(ones, y) + y],
     [silent(random, y), softmax_backward(random, y)])  # fmt: skip
caught(check_formula("softmax", backward=silent))
try:
    check(softmax, lambda dy, x: {"x": silent(dy, x)}, {"x": y}, g=ones)
    refusal = ""
except ValueError as error:
    refusal = str(error)
print(refusal)
assert "blind" in refusal

# %% [markdown]
# ## Checked
#
# A check that cries out at everything would have passed this chapter too. So the right ones must pass:

# %%
for name in ("layer_norm", "attention", "cross_entropy", "softmax", "embedding", "tied_table"):
    report = check_formula(name)
    print(f"{name:14} {'right' if report.ok else report.sentence}")
    assert report.ok

# %% [markdown]
# And two formulas must never be taken for one another: of the known mistakes, each is recognised as itself. Here for
# all wrong backwards of the layer norm:

# %%
known = mistakes("layer_norm")
backwards = [mistake for mistake in known if mistake.part == "backward"]
named = [check_formula("layer_norm", backward=mistake.plant()).mistake for mistake in backwards]
labels = [mistake.label for mistake in backwards]
print(f"{sum(a == b for a, b in zip(named, labels, strict=True))} of {len(labels)} called by their own name")
assert named == labels

# %% [markdown]
# ## The picture
#
# The whole museum. Left column: the error on the data that one uses without thinking. It is nothing, twelve times over
# (a layer norm of 768 is off by less than a thousandth). Right column: the same code on honest data. The tolerance of a
# test hardly matters; **what it is tested on decides**.

# %%
assert len(hall) == 12
draw(
    plotting.matrices,
    "ch20_museum.png",
    panels=[{"title": "largest error, % of the largest number", "values": list(hall.values()),
             "rows": [f"{i + 1}  {name}" for i, name in enumerate(hall)], "columns": ["lazy data", "honest data"]}],
    number="{:.1f}",
    shares=True,
    limit=150.0,
    height=4.2,
    unit="%",
)  # fmt: skip

# %% [markdown]
# Honest data, as a list to keep: more than one sequence, and lengths with no common divisor; padding; repeated ids;
# labels on some rows only, and every class among them; $\gamma$ that is not 1 and $\beta$ that is not 0; dropout on,
# with fixed masks; a random $dy$; more than one step. It is what the cases of `check_formula` are made of.
#
# ## What others do
#
# * **PyTorch's** `gradcheck` builds the whole matrix of slopes, one output at a time; **JAX** asks with a random $dy$
#   along a random direction. Neither can be fooled by ones.
# * **The projects of this museum**: some took the correction at once, in others the question stands open, for the next
#   reader to find. An open issue with a clear title is worth much.
# * Nearly all of them were found by *comparing*: with another implementation, with the formula, with a hand
#   calculation. Hardly any by looking at the loss alone.
#
# ## Common mistakes
#
# In tests, that is, for here it is their turn:
#
# * **a test that cannot fail**: it prints shapes, or compares a function with itself. Break the code on purpose, and
#   see the test fail;
# * **a test that mends what it tests** (exhibit 11);
# * **a tolerance widened until it is quiet.** Numbers that come from the same formula agree to nine digits. Those that
#   agree to three do not come from the same formula, as the derivatives of the two GELUs show:

# %%
report = check_formula("gelu", backward=next(m for m in mistakes("gelu") if "tanh" in m.label).plant())
caught(report, "the tanh form's derivative")

# %% [markdown]
# ## Exercises
#
# **20.1** Exhibit 6: by which factor is the gradient of the first layer's queries too small, with twelve layers and a
# batch of 32? (Careful: through how many softmaxes does each path lead?)
#
# **20.2** Write a test of ten lines that would have caught exhibits 3, 4 and 5 together. (`bertnp learn check 20.2`)
#
# **20.3** For which other functions of this library is the gradient under ones zero, or independent of the input?
#
# **20.4** Exhibit 5 in a training: take the quickstart's model and two sentences, leave out label 0, and plot loss and
# accuracy.
#
# **20.5** Find an exhibit for this museum: read the issues of a project you use, and write its mistake in ten lines.
