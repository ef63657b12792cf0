# %% [markdown]
# # 04 · Embeddings: words, positions and segments become vectors; sinusoids beside learned positions
#
# Needs: chapters 01, 02 and 03. Runtime: 2 seconds.
#
# **What you will understand.** How an id becomes a vector, and why that is a linear map in disguise; how BERT tells
# *dog bites man* from *man bites dog*; where the gradient of a table goes, and why words that occur twice need care;
# and what the sinusoids of the original Transformer can do that BERT's learned positions cannot.

# %%
import numpy as np

from bertnp import plotting
from bertnp.functional import (
    embedding,
    embedding_backward,
    gather_rows,
    gather_rows_backward,
    positional_encoding,
    positional_encoding_backward,
    scatter_rows,
    scatter_rows_backward,
)
from bertnp.functional.positions import sinusoids
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show
from bertnp.models.bert import BertEmbeddings

# %% [markdown]
# ## The idea
#
# An id is a mere name: word 2009 is not "more" than word 7. So the network keeps a table with one row of $H$ numbers
# for each of the $V$ words, the **word embeddings**, and an id picks its row. The rows begin as noise and are learnt
# like every other weight; words that are used alike end up with rows that are alike.
#
# What attention does with the vectors (chapter 09) does not depend on their order. To it, a sentence is a bag. So the
# order must be *in* the vectors: a second table has a row for each position, 0 to 511, and a third one a row each for
# the first and the second text. The three are added.
#
# ## The formula
#
# With $E$ $(V, H)$ for the table and $\text{id}_t$ for the id of token $t$:
#
# $$ y_t = E[\text{id}_t] \tag{4.1} $$

# %%
show(embedding)

# %% [markdown]
# ## By hand
#
# A table of five words with three numbers each; a text of four tokens, in which word 3 stands twice.

# %%
table = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [5.0, 6.0, 7.0], [9.0, 9.0, 9.0]])  # (V, H)
ids = np.array([3, 1, 3, 2])
y = embedding(ids, table)
show(table=table, ids=ids, y=y)
assert y.tolist() == [[5, 6, 7], [1, 0, 2], [5, 6, 7], [0, 1, 1]]

# %% [markdown]
# ## The backward, step by step
#
# Write the lookup as a linear map, and chapter 03 does the rest. Let $O_{tv}$ be 1 if token $t$ is word $v$, and else
# 0 (a "one-hot" row for each token). Then picking rows is a product of matrices:
#
# $$ y_{ti} = \sum_v O_{tv} E_{vi}, \qquad y = O E \tag{a} $$
#
# $E_{vi}$ is used by every token $t$ with $O_{tv} = 1$, so by rule 2 of chapter 02
#
# $$ dE_{vi} = \sum_t O_{tv}\, dy_{ti}, \qquad dE = O^{\mathsf T} dy \tag{b} $$
#
# In words: *row $v$ of the table gets the sum of the slopes of all tokens that are word $v$.* Nobody multiplies by $O$,
# which for BERT would have 30,522 columns, nearly all zero. One adds each $dy_t$ to its row:
#
# $$ dE[v] = \sum_{t:\ \text{id}_t = v} dy_t \tag{4.2} $$

# %%
show(embedding_backward)
dy = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [10.0, 0.0, 5.0], [0.0, 0.0, 1.0]])
dtable = embedding_backward(dy, ids, table)
one_hot = np.eye(5)[ids]  # O, (T, V)
show(dtable=dtable)
assert np.array_equal(one_hot @ table, y)
assert np.array_equal(one_hot.T @ dy, dtable)
assert dtable[3].tolist() == [11, 0, 5]  # the tokens 0 and 2

# %% [markdown]
# Rows 0 and 4 stay zero: a word that is not in the batch learns nothing from it. (The word `[PAD]`, id 0, never learns
# by being read; that is what `padding_idx` is for.)
#
# ## Three tables
#
# BERT adds the rows of word, position and segment (here called token type), normalises the sum (chapter 06) and, in
# training, drops some of it (chapter 08). With $W$ $(V, H)$, $P$ $(512, H)$ and $T$ $(2, H)$ for the three tables:
#
# $$ x_t = \operatorname{drop}\big(\operatorname{LayerNorm}(W[\text{word}_t] + P[\text{position}_t] +
#    T[\text{type}_t])\big) \tag{4.3} $$

# %%
show(BertEmbeddings)

# %% [markdown]
# A sum hands its slope to every summand unchanged ($y = a + b$ rises as fast as $a$, and as fast as $b$). So all three
# tables get the same $dy$, each adds it up by its own ids. The sums are very different ones: a position occurs once in
# each row of the batch, a segment in almost every token, a rare word nowhere.
#
# ## Rows in, rows out
#
# Two relatives. Taking some rows of an array, none twice (the first token of each sequence, say, or the masked ones),
# and its reverse, putting rows into an array of zeros:
#
# $$ \text{gather: } y_i = x[\text{index}_i] \tag{4.4} $$
#
# $$ \text{scatter: } y[\text{index}_i] = x_i, \quad 0 \text{ elsewhere} \tag{4.5} $$
#
# Gathering is a lookup without repeats. Its gradient, by (4.2), puts each $dy_i$ back to where the row came from, and
# that is a scatter; and the other way round. Each is the backward of the other.

# %%
show(gather_rows, gather_rows_backward, scatter_rows, scatter_rows_backward)

# %% [markdown]
# ## Checked

# %%
report = check_formula("embedding")
print(report)
assert report.ok and check_formula("gather_rows").ok and check_formula("scatter_rows").ok

# %% [markdown]
# And the sum of three, for a batch of two rows:

# %%
word_ids = np.array([[3, 1, 3, 0], [3, 4, 4, 1]])
positions, types = np.arange(4) + 0 * word_ids, np.array([[0, 0, 1, 1], [0, 1, 1, 1]])


def add_up(words, places, segments):
    return embedding(word_ids, words) + embedding(positions, places) + embedding(types, segments)


def add_up_backward(dy, words, places, segments):
    return {
        "words": embedding_backward(dy, word_ids, words),
        "places": embedding_backward(dy, positions, places),
        "segments": embedding_backward(dy, types, segments),
    }


rng = np.random.RandomState(4)
tables = {"words": rng.randn(5, 3), "places": rng.randn(6, 3), "segments": rng.randn(2, 3)}
report = check(add_up, add_up_backward, tables)
print(report)
assert report.ok

dy = rng.randn(2, 4, 3)
gradients = add_up_backward(dy, **tables)
assert np.allclose(gradients["places"][:4], dy.sum(axis=0))  # a position: the sum over the batch
assert np.allclose(gradients["segments"].sum(axis=0), dy.sum(axis=(0, 1)))  # both segments: all tokens

# %% [markdown]
# ## A claim tested: without positions, order is lost
#
# *dog bites man* and *man bites dog* have the same words. Without the second table, their vectors are the same three,
# merely in another order; with it, they are not.

# %%
dog_bites_man, man_bites_dog = np.array([1, 2, 3]), np.array([3, 2, 1])
E, P = rng.randn(4, 5), rng.randn(3, 5)


def as_a_bag(vectors):
    return vectors[np.lexsort(vectors.T)]  # sorted: whatever the order was, it is gone


without = as_a_bag(E[dog_bites_man]) - as_a_bag(E[man_bites_dog])
with_positions = as_a_bag(E[dog_bites_man] + P) - as_a_bag(E[man_bites_dog] + P)
print("largest difference without positions:", abs(without).max())
print("largest difference with positions:   ", abs(with_positions).max().round(3))
assert (without == 0).all() and abs(with_positions).max() > 0.1

# %% [markdown]
# ## The picture
#
# The gradients of the three tables for one sentence, *the cat saw the dog*, in which *the* stands twice. Only the rows
# that were read have one; *the* has the sum of two; every position that is in use has one; segment 0 has the sum of
# all.

# %%
names = ["[PAD]", "the", "a", "cat", "dog", "saw", "tree"]
sentence = np.array([1, 3, 5, 1, 4])
dy = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 0.5], [0.5, 0.0, 1.0], [1.0, 0.5, 0.5], [-0.5, 1.0, 0.0]])
draw(
    plotting.matrices,
    "ch04_rows_that_learn.png",
    panels=[
        {"title": "slopes of the tokens", "values": dy, "rows": "the cat saw the dog".split()},
        {"title": "word table", "values": embedding_backward(dy, sentence, np.zeros((7, 3))), "rows": names},
        {"title": "position table", "values": embedding_backward(dy, np.arange(5), np.zeros((7, 3))), "rows": range(7)},
        {"title": "segments", "values": embedding_backward(dy, 0 * sentence, np.zeros((2, 3))), "rows": range(2)},
    ],
    number="{:.1f}",
    height=2.8,
    unit="slope",
)

# %% [markdown]
# ## Sinusoids
#
# The original Transformer learns no positions, it computes them (Vaswani et al. 2017, section 3.5). Component $2i$ and
# its neighbour $2i + 1$ are sine and cosine of the position, each pair with a frequency of its own:
#
# $$ P_{t, 2i} = \sin(\omega_i t), \qquad P_{t, 2i+1} = \cos(\omega_i t), \qquad \omega_i = 10000^{-2i/H} \tag{4.6} $$
#
# Why that? Each pair is the hand of a clock. A step forward turns every hand by a fixed angle, *wherever* one stands;
# so "$k$ places on" is one and the same rotation everywhere, and the scalar product of two positions depends on their
# distance alone: $\sin a \sin b + \cos a \cos b = \cos(a - b)$.

# %%
show(sinusoids)
S, H = 48, 32
p = sinusoids(S, H)  # (S, H)
likeness = p @ p.T / (H / 2)  # 1 on the diagonal
assert np.allclose(np.diag(likeness), 1)
assert np.allclose(likeness[3, 10], likeness[33, 40])  # seven apart is seven apart
draw(
    plotting.matrices,
    "ch04_sinusoids.png",
    panels=[
        {"title": "sinusoids: a row for each position", "values": p, "xlabel": "component", "ylabel": "position"},
        {"title": "scalar products: only the distance counts", "values": likeness, "xlabel": "position"},
    ],
    height=3.0,
)

# %% [markdown]
# The Transformer adds them to word vectors that it first multiplies by $\sqrt H$, since its tables begin with small
# numbers. Nothing in the sum but the words is learnt, so the slope takes the factor back and that is all:
#
# $$ y_t = \sqrt H\, x_t + P[\text{position}_t] \tag{4.7} $$
#
# $$ dx = \sqrt H\, dy \tag{4.8} $$

# %%
show(positional_encoding, positional_encoding_backward)
assert np.allclose(positional_encoding(np.ones((3, 4)), np.arange(3)), 2 + sinusoids(3, 4))
assert check_formula("positional_encoding").ok

# %% [markdown]
# One often reads that BERT uses such positional encodings. **It does not.** BERT learns a table, as in (4.3). Learned
# rows may be anything that helps, but a position that never occurred in training has learnt nothing, and beyond row
# 511 there is none: a published BERT cannot read 513 tokens. Sinusoids exist for every position.
#
# ## What others do
#
# * **The Transformer paper** multiplies the word vectors by $\sqrt H$, (4.7); BERT does not.
# * **Google's code** adds word + segment + position and has no special treatment for `[PAD]`. Its default for the
#   number of segments is 16; the published checkpoints have 2.
# * **transformers** gives the row of `[PAD]` no gradient from lookups, and begins it at zero. So does this library.
# * All draw new tables from a normal distribution with standard deviation 0.02.
#
# ## Common mistakes
#
# The most famous one of NumPy: `dtable[ids] += dy` *looks* right. But where an id stands twice, NumPy reads the row
# once and writes it twice, and the last write wins. `np.add.at` adds one after the other.


# %%
def plus_equals(dy, ids, table):
    dtable = np.zeros_like(table)
    dtable[ids] += dy
    return dtable


wrong = plus_equals(np.ones((4, 3)), np.array([3, 1, 3, 2]), table)
print("row 3 was read twice and gets", wrong[3], "instead of", embedding_backward(np.ones((4, 3)), ids, table)[3])
assert wrong[3].tolist() == [1, 1, 1]
report = check_formula("embedding", backward=plus_equals)
print(report.sentence)
assert not report.ok

# %% [markdown]
# Others: a mean over the repeats in place of the sum; position ids that begin anew in the second text (they do not);
# padding on the left, which shifts all positions and so changes the result.
#
# ## Exercises
#
# **4.1** Write the backward of the lookup with a loop, with `np.add.at`, and with the one-hot product. Which is the
# fastest for $V = 30000$ and 4000 tokens? (`bertnp learn check 4.1`)
#
# **4.2** In (4.3), what is the gradient of $P$ for a batch in which all rows are equally long? And if one is shorter?
#
# **4.3** $E$, $P$ and $T$ are added, not put side by side. Show that a linear map of the sum can still tell them apart
# if the tables' rows lie in different directions, by constructing one.
#
# **4.4** Show that for sinusoids $P_{t+k} = R_k\, P_t$, with a matrix $R_k$ that does not depend on $t$.
#
# **4.5** Write the backward of adding a table of positions to all sequences of a batch. What do the rows get that no
# sequence reaches? (`bertnp learn check 4.5`)
#
# **4.6** Write the table of sines and cosines (4.6), for an odd $H$, too. (`bertnp learn check 4.6`)
#
# **4.7** The data are half of a check. Make ids and $dy$ on which no wrong backward of the lookup can look right:
# think of each mistake, and of data that betray it. (`bertnp learn check 4.7`)
