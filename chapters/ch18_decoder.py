# %% [markdown]
# # 18 · The decoder and the original Transformer: from a model that reads to one that writes
#
# Needs: chapters 03, 04, 05, 08, 09, 10 and 13. Runtime: 10 seconds.
#
# **What you will understand.** BERT is half of a machine. The other half, the decoder, writes: how a causal mask lets
# it learn all words of a sentence at once; how cross-attention reads the source, and why its gradient flows into both
# texts; one table of words with three jobs; what smoothed labels change; the first learning-rate schedule with a
# warm-up; and why the likeliest next word, taken again and again, need not give the likeliest sentence.

# %%
import numpy as np

from bertnp import Adam, Transformer, TransformerConfig, inference, plotting
from bertnp.functional import (
    attention,
    attention_backward,
    cross_entropy_backward,
    embedding_backward,
    log_softmax,
    masked_softmax_backward,
    positional_encoding,
    positional_encoding_backward,
    product,
)
from bertnp.gradcheck import check, check_formula, check_model
from bertnp.learn import draw, show
from bertnp.models.decoding import Beam, beam_search, greedy_search, length_penalty
from bertnp.models.transformer import OutputEmbeddings, TransformerDecoderLayer
from bertnp.nn import CrossAttention
from bertnp.optim.schedules import noam

# %% [markdown]
# ## The idea
#
# The Transformer of 2017 was made to translate. It has two towers. The **encoder** reads the source; it is what BERT
# is. It puts out a vector for each token of the source, which we call the **memory**. The **decoder** writes the
# target, one token after the other. At each step it asks: given the memory and what I have written so far, what comes
# next? The answer is appended, and the question asked again, until the answer is an end token.
#
# A layer of the decoder differs from BERT's in two points:
#
# 1. its self-attention must not look ahead. What comes behind is what it is going to be asked for: a **causal mask**;
# 2. between self-attention and feed-forward stands a second attention. Its queries come from the target, its keys
#    and values from the memory: **cross-attention**.
#
# ## The formula
#
# ### What goes in
#
# The word's vector and the sinusoid of its place (chapter 04, where the clock hands are explained):
#
# $$ y_t = \sqrt H\, x_t + P_t \tag{18.1} $$
#
# **Why $\sqrt H$?** The table of words will also score them at the end, by scalar products $h \cdot E_v$ of $H$ terms.
# $h$ comes out of a layer norm, with numbers of about size 1. So that the scores begin with variance 1 as well, the
# numbers of $E$ are drawn with variance $1/H$. That is right at the way out and too small at the way in: beside
# sinusoids of up to 1 the words would be hardly visible. The root makes up for it. The backward is a multiplication;
# $P$ is no weight and learns nothing:
#
# $$ dx_t = \sqrt H\, dy_t \tag{18.2} $$

# %%
show(positional_encoding, positional_encoding_backward)
rng = np.random.RandomState(18)
H = 64
E, h = rng.randn(200, H) / np.sqrt(H), rng.randn(500, H)
places = positional_encoding(0 * E[:50], np.arange(50))
print(f"mean squares: words {np.square(E).mean():.3f}, with the root {np.square(np.sqrt(H) * E).mean():.2f}, "
      f"sinusoids {np.square(places).mean():.2f}; scores {np.square(h @ E.T).mean():.2f}")  # fmt: skip
assert abs(np.square(places).mean() - 0.5) < 1e-12  # sin² + cos² = 1 for each pair
assert abs(np.square(h @ E.T).mean() - 1) < 0.1 and abs(np.square(np.sqrt(H) * E).mean() - 1) < 0.1

# %% [markdown]
# ### The causal mask
#
# For a target $w_1 w_2 \dots w_U$ the decoder reads the begin token and all words but the last, $[\text{begin}]\, w_1
# \dots w_{U-1}$, and is asked at each place for the *next*: $w_1\, w_2 \dots w_U$, the last being the end token. All
# $U$ questions are answered in one pass, as long as the answer at place $s$ is made from places up to $s$ alone. So
# query $s$ may read key $k$ if $k \le s$: a triangle in the place of the row of chapter 09.
#
# Nothing else changes. The masked softmax (9.1) leaves forbidden keys out, and its backward (9.2) gives them 0 by
# itself. For gradients the triangle works the other way round: what $s$ wrote can only teach places up to $s$.

# %%
triangle = np.tril(np.ones((4, 4), bool))
Q, K, V = rng.randn(1, 1, 4, 2), rng.randn(1, 1, 4, 2), rng.randn(1, 1, 4, 2)
Y, P = attention(Q, K, V, triangle)
dP = rng.randn(4, 2) @ V[0, 0].T
dZ = masked_softmax_backward(dP, P[0, 0])
show(may_read=triangle.astype(int), shares=P[0, 0], slopes_of_the_scores=dZ)
assert (P[0, 0][~triangle] == 0).all() and (dZ[~triangle] == 0).all() and np.allclose(Y[0, 0, 0], V[0, 0, 0])

# %% [markdown]
# The first place can read only itself: its share is 1, its output is its own value, and its scores have no slope.
#
# ### Cross-attention
#
# With $x$ $(U, H)$ for the target and $m$ $(S, H)$ for the memory:
#
# $$ Y = \operatorname{merge}\big(\operatorname{attention}(\operatorname{split}(x W_Q^{\mathsf T} + b_Q),\
#    \operatorname{split}(m W_K^{\mathsf T} + b_K),\ \operatorname{split}(m W_V^{\mathsf T} + b_V))\big) \tag{18.3} $$
#
# (10.5) with $m$ in two of three places. The table of shares is now $(U, S)$: a row for each word written, a column
# for each word read. The only mask is the source's padding: the source is all there from the beginning.

# %%
show(CrossAttention, TransformerDecoderLayer)

# %% [markdown]
# ### What comes out
#
# The score of word $v$ is the scalar product of the last layer's $h$ with the word's own vector, without an offset:
#
# $$ z = h\, E^{\mathsf T} \tag{18.4} $$

# %%
show(OutputEmbeddings)

# %% [markdown]
# ### Smoothed labels
#
# Plain cross-entropy is satisfied only when the right word has probability 1, for which its score must be infinitely
# far above the others: the weights grow without end, and a wrong label costs without end. The Transformer aims at less:
# $1 - \varepsilon + \varepsilon/V$ for the right word and $\varepsilon / V$ for each other, $\varepsilon = 0.1$
# (chapter 05 has this loss). Which $p$ is best against a target $t$? The slope by the scores is $p - t$ (5.6), and zero
# only for $p = t$. Then the loss is not 0 but
#
# $$ -\sum_v t_v \ln t_v \tag{a} $$
#
# the least that can be reached, and the distance of the scores is finite, $\ln(t_{\text{right}} / t_{\text{other}})$.

# %%
V_small, smoothing = 14, 0.1
target = np.full(V_small, smoothing / V_small)
target[0] += 1 - smoothing
floor = -(target * np.log(target)).sum()
print(f"the least loss with {V_small} words: {floor:.4f}")
print(f"the right score is then {np.log(target[0] / target[1]):.2f} above the others")
assert abs(floor - 0.5473) < 1e-4
assert abs(cross_entropy_backward(1.0, np.log(target)[None], np.array([0]), label_smoothing=smoothing)).max() < 1e-15

# %% [markdown]
# ### The schedule
#
# With $s$ the number of the step, from 1 on, and $w$ those of the warm-up, the learning rate is (named "noam" after one
# of the authors)
#
# $$ \text{lr}(s) = \frac{1}{\sqrt H} \min\!\left( \frac{1}{\sqrt s},\ \frac{s}{w \sqrt w} \right) \tag{18.5} $$
#
# The second is a straight line, the first falls like a root, and they meet where $s^{3/2} = w^{3/2}$, at $s = w$. So it
# climbs until step $w$, to $1/\sqrt{H w}$, and then falls, slowly and for ever: the length of the training need not be
# known. For the paper's $H = 512$ and $w = 4000$ the peak is 0.0007.

# %%
show(noam)
assert abs(noam(3999, 512) - (512 * 4000) ** -0.5) < 1e-12 and abs(noam(3999, 512) - 0.0007) < 1e-5
assert noam(3998, 512) < noam(3999, 512) > noam(4000, 512)

# %% [markdown]
# ## By hand
#
# Cross-attention small enough for paper: one head, $H = 1$, all three weights 1 and no offsets, so that $q = x$ and
# $k = v = m$. Two words written, $x = (0, \ln 2)$; two read, $m = (0, 1)$.
#
# * scores $x_s m_k$: $(0, 0)$ and $(0, \ln 2)$; shares $(\frac12, \frac12)$ and $(\frac13, \frac23)$;
# * outputs: $\frac12$ and $\frac23$.

# %%
x, m = np.array([0.0, np.log(2)]).reshape(1, 1, 2, 1), np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
Y, P = attention(x, m, m)
show(P=P[0, 0], Y=Y[0, 0, :, 0])
assert np.allclose(P[0, 0], [[1 / 2, 1 / 2], [1 / 3, 2 / 3]]) and np.allclose(Y[0, 0, :, 0], [1 / 2, 2 / 3])

# %% [markdown]
# ## The backward, step by step
#
# Given $dY$. Up to the three linear maps it is chapter 10: cut into heads, (9.4), put together again; that gives $dQ$
# $(U, H)$ and $dK$, $dV$ $(S, H)$. In self-attention three paths led back to one $x$. Here they part:
#
# * $Q = x W_Q^{\mathsf T} + b_Q$ was made from the target. By (3.2), $dx = dQ\, W_Q$, $dW_Q = dQ^{\mathsf T} x$;
# * $K$ and $V$ were made from the memory: two paths to one $m$, which add up. And $dW_K = dK^{\mathsf T} m$, $dW_V =
#   dV^{\mathsf T} m$; each offset gets the sum over the rows.
#
# $$ dx = dQ\, W_Q, \qquad dm = dK\, W_K + dV\, W_V \tag{18.6} $$
#
# $dm$ has a row for each word of the *source*. In $dV = P^{\mathsf T} dY$ the sum runs over the words written: a source
# word hears from everyone who looked at it.
#
# **Every layer reads the same memory.** So there are as many paths to $m$ as layers in the decoder, and their $dm$ add
# up. Only then does the encoder's backward begin. It never sees the loss; all it learns, it learns through $dm$.
#
# **Three jobs of one table.** $E$ looks up the source's words, looks up the target's, and scores. Let
# $dx^{\text{src}}$ and $dx^{\text{tgt}}$ be the gradients of the words' vectors that come out at the bottom of both
# towers, with (18.2)'s root in them. Then by (4.2), twice, and (3.2):
#
# $$ dE = \operatorname{scatter}(dx^{\text{src}}) + \operatorname{scatter}(dx^{\text{tgt}}) + dz^{\mathsf T} h
#    \tag{b} $$
#
# **The example.** Let only the second output matter, $dY = (0, 1)$. Its slopes of the shares are $dP = dY\, V =
# (0, 1)$, their mean by the shares is $\frac23$, so $dZ = (\frac13 (0 - \frac23), \frac23 (1 - \frac23)) = (-\frac29,
# \frac29)$. With these, $dx_2 = dZ \cdot m = \frac29$. As values, the two of $m$ get the shares $\frac13$ and
# $\frac23$; as keys, $dZ\, x_2 = \mp \frac29 \ln 2$; together
# $dm = (\frac13 - \frac29 \ln 2,\ \frac23 + \frac29 \ln 2)$.

# %%
dY = np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
dQ, dK, dV = attention_backward(dY, x, m, m, P)
show(dx=dQ[0, 0, :, 0], dm=(dK + dV)[0, 0, :, 0])
assert np.allclose(dQ[0, 0, :, 0], [0, 2 / 9])
assert np.allclose((dK + dV)[0, 0, :, 0], [1 / 3 - 2 / 9 * np.log(2), 2 / 3 + 2 / 9 * np.log(2)])

# %% [markdown]
# ## Checked
#
# The formulas written as above, on one head:


# %%
def cross(x, m, WQ, WK, WV):
    return attention(x @ WQ.T, m @ WK.T, m @ WV.T)[0]


def cross_backward(dy, x, m, WQ, WK, WV):
    Q, K, V = x @ WQ.T, m @ WK.T, m @ WV.T
    dQ, dK, dV = attention_backward(dy, Q, K, V, attention(Q, K, V)[1])
    turned = dict.fromkeys(("WQ", "WK", "WV"))
    for name, dpart, read in (("WQ", dQ, x), ("WK", dK, m), ("WV", dV, m)):
        turned[name] = (dpart.swapaxes(-1, -2) @ read).sum(axis=(0, 1))
    return {"x": dQ @ WQ, "m": dK @ WK + dV @ WV, **turned}


inputs = {"x": rng.randn(2, 1, 3, 4), "m": rng.randn(2, 1, 5, 4)}
inputs |= {name: rng.randn(4, 4) / 2 for name in ("WQ", "WK", "WV")}
report = check(cross, cross_backward, inputs, rtol=1e-6)
print(report)
assert report.ok and check_formula("positional_encoding").ok

# %% [markdown]
# And a whole Transformer, two layers a side, padding in both texts, every tensor:

# %%
sizes = {"vocab_size": V_small, "num_attention_heads": 2, "hidden_dropout_prob": 0.0, "label_smoothing": smoothing}
small = Transformer(
    TransformerConfig(hidden_size=8, num_hidden_layers=2, intermediate_size=12, **sizes), seed=1, dtype=np.float64
)
source, read = np.array([[5, 9, 7, 5], [11, 6, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
labels = np.array([[8, 5, 3], [6, 3, -100]])
batch = {"input_ids": source, "attention_mask": read, "labels": labels}
report = check_model(small, batch, max_coords=2, directional=1)
print(f"{len(report.rows)} tensors, each the derivative of the forward: {report.ok}")
assert report.ok

# %% [markdown]
# Equation (b), with the numbers of that model:

# %%
out = small(**batch, output_hidden_states=True)
dsource, dtarget = small.backward()
h, known = out.decoder_hidden_states[-1], labels != -100
table = small.encoder.embeddings.word_embeddings.weight
log_p = log_softmax(product(h[known], table.data))
dz = cross_entropy_backward(1.0, log_p, labels[known], label_smoothing=smoothing)
written = np.array([[2, 8, 5], [2, 6, 0]])  # what the decoder read: 2 is the begin token
jobs = {
    "looked up in the source": embedding_backward(dsource, source, table.data),
    "looked up in the target": embedding_backward(dtarget, written, table.data),
    "scores": dz.T @ h[known],
}
for name, part in jobs.items():
    print(f"{name:24} |dE| = {np.linalg.norm(part):.3f}")
assert np.allclose(sum(jobs.values()), table.grad, atol=1e-12)
assert not np.allclose(sum(jobs.values()) - jobs["scores"], table.grad, atol=1e-3)

# %% [markdown]
# ## Three claims, tested
#
# **No one looks ahead.** Change the last word that the decoder reads: no earlier score moves. Start a backward from the
# scores of the first place alone: no later word gets a gradient, but *every* word of the source does.

# %%
other = written.copy()
other[0, 2] = 12
with inference():
    before = np.array(small(source, read, decoder_input_ids=written).logits)
    after = np.array(small(source, read, decoder_input_ids=other).logits)
print("scores move by place:", abs(after - before)[0].max(axis=-1).round(3))
assert abs(after - before)[0, :2].max() < 1e-12 < 1e-2 < abs(after - before)[0, 2].max()

small.zero_grad()
small(source, read, decoder_input_ids=written)
dlogits = np.zeros(before.shape)
dlogits[0, 0] = rng.randn(V_small)
dsource, dtarget = small.backward(dlogits=dlogits)
print("gradient by word written:", np.linalg.norm(dtarget[0], axis=-1).round(3))
print("gradient by word read:   ", np.linalg.norm(dsource[0], axis=-1).round(3))
assert (dtarget[0, 1:] == 0).all() and (np.linalg.norm(dsource[0], axis=-1) > 1e-4).all()

# %% [markdown]
# **The source's padding changes nothing**, through cross-attention either.

# %%
other = source.copy()
other[1, 2:] = 13
with inference():
    assert np.array_equal(np.array(small(other, read, decoder_input_ids=written).logits), before)

# %% [markdown]
# **Learning all at once is the same as writing word by word.** That is what the triangle is for. Row $s$ of one pass
# over everything is the last row of a pass over the first $s$:

# %%
with inference():
    for s in range(1, 4):
        beginning = np.array(small(source[:1], decoder_input_ids=written[:1, :s]).logits)
        assert np.allclose(beginning[0, -1], before[0, s - 1], atol=1e-12)

# %% [markdown]
# ## A Transformer learns to write
#
# A tiny language pair: the source is six letters, its translation the same letters in reverse. Nothing in the words
# tells which is to come next; the decoder has to find the place. One layer a side, smoothed labels, Adam, and the
# schedule (18.5).

# %%
END, FIRST_LETTER, H, WARMUP, STEPS = 3, 4, 32, 60, 250
letters = "abcdefghij"


def pairs(rng, B):
    source = FIRST_LETTER + rng.randint(0, 10, (B, 6))
    return source, np.concatenate([source[:, ::-1], np.full((B, 1), END)], axis=1)


def train(model, batches, rate):
    """The losses; rate: a function of the step."""
    model.train()
    optimizer, losses = Adam(model, betas=(0.9, 0.98), eps=1e-9), []
    for step, (source, labels) in enumerate(batches):
        optimizer.lr = rate(step)
        out = model(source, labels=labels)
        model.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(out.loss))
    model.eval()
    return np.array(losses)


model = Transformer(TransformerConfig(hidden_size=H, num_hidden_layers=1, intermediate_size=64, **sizes), seed=0)
rng = np.random.RandomState(0)
losses = train(model, (pairs(rng, 32) for _ in range(STEPS)), lambda step: noam(step, H, WARMUP))
source, labels = pairs(np.random.RandomState(1), 50)
found = model.generate(source)
right = sum(np.array_equal(one.token_ids, words[:-1]) for one, words in zip(found, labels, strict=True))
print(f"loss: from {losses[0]:.2f} to {losses[-10:].mean():.3f}; the floor (a) is {floor:.3f}")
print(f"{right} of 50 new words are reversed without a mistake")
assert right >= 48 and floor < losses[-10:].mean() < floor + 0.06 and losses.min() > floor

# %% [markdown]
# ## The picture
#
# Where the decoder looks while it writes. Nobody told it that the answer runs backwards through the source: it is in
# the shares. The row of a letter is the place that *reads* it and writes the next.

# %%
word = list("chafed")
source = np.array([[FIRST_LETTER + letters.index(letter) for letter in word]])
with inference():
    (one,) = model.generate(source)
    out = model(source, labels=np.array([[*one.token_ids, END]]), output_attentions=True)
shares = out.cross_attentions[0][0]  # (A, U, S)
written = ["begin", *(letters[number - FIRST_LETTER] for number in one.token_ids)]
assert written[1:] == word[::-1]
looked_at = shares.mean(axis=0)[:6].argmax(axis=-1)
print("places looked at:", looked_at)
assert (looked_at == [5, 4, 3, 2, 1, 0]).all()
draw(plotting.cross_attention, "ch18_cross_attention.png", source=word, target=written, attentions=[shares],
     each_head=True)  # fmt: skip

every = np.arange(1, STEPS + 1)
draw(
    plotting.curves,
    "ch18_schedule.png",
    panels=[
        {"title": f"the schedule, H = {H}, warm-up {WARMUP}", "xlabel": "step", "ylabel": "learning rate",
         "series": {"noam": (every, [noam(step, H, WARMUP) for step in range(STEPS)])}},
        {"title": "learning to write backwards", "xlabel": "step", "ylabel": "loss (nats)", "ylim": (0, 3.5),
         "series": {"smoothed loss": (every, losses)}, "levels": {"floor (a)": floor}},
    ],
)  # fmt: skip

# %% [markdown]
# **Lengths it has not seen.** All its words had six letters. There is a sinusoid for every place (chapter 04), so the
# model runs on words of four or of eight just as well. Does it reverse them?

# %%
rng = np.random.RandomState(2)
for length in (4, 5, 6, 7, 8):
    words = FIRST_LETTER + rng.randint(0, 10, (50, length))
    found = model.generate(words, max_length=12)
    whole = sum(np.array_equal(one.token_ids, word[::-1]) for one, word in zip(found, words, strict=True))
    sizes_written = sorted({len(one.token_ids) for one in found})
    print(f"{length} letters: {whole} of 50 reversed; letters written: {sizes_written}")
    assert whole >= 48 if length == 6 else whole <= 2

# %% [markdown]
# It does not. That sinusoids *exist* everywhere, and that those of places $t$ and $t + k$ are linked by one turn for
# all $t$, does not mean that a model learns to use the turn: nothing in its data asked for it. In a larger experiment
# (`tests/models/copy_tasks.py`) words of 3 to 20 letters are to be copied. Up to 20 letters all are right, at 21 still
# 85 %, at 22 18 %, from 24 on none.
#
# ## Greedy and beam search
#
# The probability of a sentence is the product of those of its words, each given the ones before; its logarithm is a
# sum. Looking for the best sentence by always taking the best next word is **greedy search**. It can walk into a trap.
# A source *x* with these translations, of which we make one batch that has them in just this proportion:
#
# | target | share | |
# |---|---|---|
# | a c, a d, a e | 0.2 each | 0.6 begin with a |
# | b f | 0.4 | 0.4 begin with b |
#
# Greedy takes a, which is likelier, and then must choose among three: 0.2. The best sentence, b f with 0.4, begins with
# the *less* likely word.

# %%
X, a, b, c, d, e, f = range(4, 11)
labels = np.array([[a, c, END], [a, d, END], [a, e, END], [b, f, END], [b, f, END]])
plain = TransformerConfig(hidden_size=16, num_hidden_layers=1, intermediate_size=32, **{**sizes, "label_smoothing": 0})
trap = Transformer(plain, seed=0)
losses = train(trap, [(np.full((5, 1), X), labels)] * 120, lambda step: 0.01)
least = -(0.6 * np.log(0.2) + 0.4 * np.log(0.4)) / 3  # the mean over three words of each target
print(f"the loss is {losses[-1]:.3f}, the least possible {least:.3f}")
assert abs(losses[-1] - least) < 0.02

# %% [markdown]
# **Beam search** keeps the $k$ likeliest beginnings instead of one. Each is continued by every word; of all these the
# $k$ likeliest stay; those that end are put aside. This is the step:

# %%
show(Beam.extend)
source = np.array([[X]])
(greedy,), ((best, *others),) = greedy_search(trap, source, alpha=0), beam_search(trap, source, num_beams=2, alpha=0)
names = dict(zip(range(4, 11), "xabcdef", strict=True))
for title, one in (("greedy", greedy), ("two beams", best)):
    print(f"{title:10} {' '.join(names[i] for i in one.token_ids)}   probability {np.exp(one.log_probability):.2f}")
assert all(one.finished and END not in one.token_ids for one in (best, *others))
assert best.token_ids.tolist() == [b, f] and abs(np.exp(best.log_probability) - 0.4) < 0.03
assert greedy.token_ids[0] == a and abs(np.exp(greedy.log_probability) - 0.2) < 0.03

# %% [markdown]
# Two beams need not find the best either: they only look wider. With as many beams as there are sentences it would be a
# complete search.
#
# Every further word makes a sentence less likely, so plain probability prefers short ones. For the comparison the
# log-probability is divided by a penalty that grows with the length $n$ (Wu et al. 2016), $\alpha = 0.6$:
#
# $$ \operatorname{lp}(n) = \left( \frac{5 + n}{6} \right)^{\alpha} \tag{18.7} $$
#
# Log-probabilities are negative: to be divided by more is better.

# %%
show(length_penalty)
assert length_penalty(1, 0.6) == 1 and abs(length_penalty(7, 1.0) - 2) < 1e-12
assert -4.0 / length_penalty(3, 0.6) < -4.5 / length_penalty(8, 0.6)  # the longer one wins, though less likely

# %% [markdown]
# A last economy. While writing, keys and values of the words already written do not change: the triangle sees to it.
# So they are kept, and each step computes a single row. `generate` does so; the third claim above is why it may.
#
# ## What others do
#
# * **The paper** (Vaswani et al. 2017) puts layer norm behind each sum (chapter 08: post-norm), as BERT does. Later
#   models moved it to the front. `norm_first=True` builds that.
# * **PyTorch's** `nn.Transformer` leaves embeddings, positions, $\sqrt H$ and output to the user, and adds one layer
#   norm at the end of each tower, in post-norm too, where it is not needed.
# * **GPT** is the decoder alone, without cross-attention. **BERT** is the encoder alone, and its masked words take the
#   place of the next word: since both sides are seen, it must hide what it asks for.
# * Label smoothing with $\varepsilon/(V-1)$ for the others, and none for padding, is found as well; PyTorch and this
#   library have $\varepsilon / V$.
#
# ## Common mistakes
#
# * **A triangle one step too wide**, $k \le s + 1$, or **labels that are read unshifted**: the decoder reads the
#   answer. The loss falls wonderfully, and what it then writes is nonsense. The first claim is the test for both.
# * **$dm$ from the last layer only.** The encoder still learns something, so no loss curve shows it.
# * **$dm$ from the values alone, without the keys**, or **the root forgotten on the way back**. The check sees both; at
#   $H = 4$ the root is 2:


# %%
def values_only(dy, x, m, WQ, WK, WV):
    right = cross_backward(dy, x, m, WQ, WK, WV)
    Q, K, V = x @ WQ.T, m @ WK.T, m @ WV.T
    _, _, dV = attention_backward(dy, Q, K, V, attention(Q, K, V)[1])
    return {**right, "m": dV @ WV}


def no_root(dy):
    return dy


report = check(cross, values_only, inputs, rtol=1e-6)
print(f"values_only: {report.sentence}\n")
assert not report.ok
report = check_formula("positional_encoding", backward=no_root)
print(f"no_root: {report.sentence}")
assert not report.ok

# %% [markdown]
# ## Exercises
#
# **18.1** Derive $dW_Q$, $dW_K$ and $dW_V$ of cross-attention, with offsets, for several heads; check them.
#
# **18.2** How far may the scores of a model with $V = 37000$ and $\varepsilon = 0.1$ be apart at the floor (a), and how
# high is the floor? Is a loss of 1.2 for it good or bad? (`bertnp learn check 18.2`)
#
# **18.3** Replace the triangle by one that also lets each place read the next, train, and compare loss and answers.
#
# **18.4** Write the best of *all* sentences of at most three words by trying them, and find a trap that two beams fall
# into and three do not.
#
# **18.5** Without positions in the decoder, can the model of this chapter still learn to reverse? Without those in the
# encoder? Say first, then try.
#
# **18.6** Write one step of a beam: from $k$ beginnings to the $k$ likeliest of all their continuations.
# (`bertnp learn check 18.6`)
