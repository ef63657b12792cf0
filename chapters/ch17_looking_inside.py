# %% [markdown]
# # 17 · Looking inside: attention, gradient × input, and heads taken out
#
# Needs: chapters 02, 05, 08, 09 and 10. Runtime: 10 seconds.
#
# **What you will understand.** Four ways to ask a trained model why it said what it said; what each of them really
# measures, derived from its definition; which claims about them are theorems and which are hopes; how to switch off a
# head, and the gradient of that switch; and that a model may need two of its eight heads.

# %%
import numpy as np

from bertnp import AdamW, BertConfig, BertForSequenceClassification, head_mask, inference, plotting
from bertnp.functional import mask_heads, mask_heads_backward
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show
from bertnp.models.head_masks import head_gradients
from bertnp.training.head_importance import ablation_curve, head_importance

# %% [markdown]
# ## The idea
#
# A network gives an answer and no reasons. But everything in it can be read, and everything can be changed. There are
# two kinds of questions, and it helps to keep them apart:
#
# * **what is in there?** Attention is of this kind: shares, lying ready to be looked at. They say from where a token
#   took something. They do not say what, nor whether it mattered in the end;
# * **what would happen if?** Take a word away, take a head out, and see how the answer changes. That is a fact about
#   the model. It costs one run for each question. A gradient answers *all* such questions at once, for small changes:
#   it is cheap, and approximate.
#
# To see which can be trusted, we need a model of which we know what it ought to look at. So we make a language: eight
# words, most of them filling; one tells a feeling, good or bad; and in three sentences of ten "not" stands before it
# and turns it round. A BERT of two layers and four heads learns to tell good from bad.

# %%
WORDS = "[CLS] not happy glad merry sad gloomy angry today she they felt very by the river".split()
NOT, FILLING, S = 1, 8, 9


def sentences(rng, B):
    """ids (B, S), labels (B,): 1 good, 0 bad."""
    ids = rng.randint(FILLING, len(WORDS), (B, S))
    ids[:, 0] = 0
    place, good, turned = rng.randint(2, S, B), rng.randint(0, 2, B), rng.rand(B) < 0.3
    ids[np.arange(B), place] = rng.randint(0, 3, B) + np.where(good, 2, 5)
    ids[np.flatnonzero(turned), place[turned] - 1] = NOT
    return ids, good ^ turned


config = BertConfig(
    vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=S, initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    pad_token_id=None,
)  # fmt: skip
model = BertForSequenceClassification(config, seed=0, dtype=np.float64).train()
optimizer, rng = AdamW(model, lr=3e-3), np.random.RandomState(0)
for step in range(250):
    ids, labels = sentences(rng, 32)
    out = model(ids, labels=labels)
    model.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step % 50 == 0:
        print(f"step {step:3}: loss {float(out.loss):.3f}")
model.eval()

ids, labels = sentences(np.random.RandomState(1), 200)  # new sentences


def score(mask):
    """The share of right answers with the heads turned down by mask (L, A)."""
    with inference(), head_mask(model, mask):
        return float((np.array(model(ids).logits).argmax(axis=-1) == labels).mean())


ones = np.ones((2, 4))
print(f"right answers on new sentences: {score(ones):.0%}")
assert score(ones) > 0.98

# %% [markdown]
# ## The formula
#
# What we explain is one number: the **margin** $f$, score of "good" minus score of "bad". Its input are the vectors
# $x_t$ of the words. Four measures of what word $t$ contributes:
#
# **Taking the word away.** Put something neutral in its place, $b$, and see how much is lost. Neutral is here the mean
# vector of the filling words:
#
# $$ o_t = f(x_1, \dots, x_t, \dots, x_S) - f(x_1, \dots, b, \dots, x_S) \tag{a} $$
#
# **Gradient × input.** By chapter 02, for a small change $v$, $f(x + v) \approx f(x) + \langle dx, v \rangle$ with $dx$
# the gradient of $f$. Taking word $t$ away is the change $v = b - x_t$ at place $t$. So
#
# $$ o_t \approx \langle dx_t,\ x_t - b \rangle = \sum_d dx_{td}\, (x_{td} - b_d) \tag{b} $$
#
# One backward gives it for all words. (With $b = 0$ it is the product that gave it its name.) It is exact if $f$ is
# linear. But $x_t - b$ is not small, and $f$ is not linear.
#
# **Along the way.** Cut the way from $b$ to $x$ into small pieces, and on each the approximation is good. With all
# words going together from $b$ to where they are, $x(\alpha) = b + \alpha (x - b)$, the slope of $f$ along the way is
# $\langle dx(\alpha), x - b \rangle$, and the integral of the slope is the whole difference:
#
# $$ r_t = \int_0^1 \langle dx_t(\alpha),\ x_t - b \rangle\, d\alpha, \qquad \sum_t r_t = f(x) - f(b, \dots, b) \tag{c}
# $$
#
# The right half is no hope, it is the fundamental theorem of calculus. (Sundararajan et al. 2017: integrated
# gradients.)
#
# **Attention**: how much the `[CLS]` of the last layer looks at word $t$, the mean over the heads. There is no formula
# that ties it to $f$.
#
# **A switch for each head**, (10.6). Before the heads' outputs are mixed by $W_O$, multiply head $a$ by a number
# $\xi_a$:
#
# $$ y_{t,\, a D + d} = \xi_{ta}\, x_{t,\, a D + d} $$
#
# $\xi = 1$ leaves all as it is, $\xi = 0$ takes the head out. (Each row $t$ may have its own, so that one backward can
# tell the sentences of a batch apart.)

# %%
show(mask_heads)

# %% [markdown]
# ## By hand
#
# **Two heads of two numbers**, the second at half its strength: $x = (1, 2, 3, 4)$, $\xi = (1, \frac12)$ give
# $y = (1, 2, \frac32, 2)$.

# %%
x, xi = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 0.5]])
show(y=mask_heads(x, xi))
assert mask_heads(x, xi).tolist() == [[1, 2, 1.5, 2]]

# %% [markdown]
# **Why gradient × input can mislead.** $f(x_1, x_2) = x_1 x_2$, the smallest function in which things work together,
# like "not" and "happy". At $(3, 2)$, with $b = 0$: $dx = (x_2, x_1) = (2, 3)$, and gradient × input is $(6, 6)$. It
# adds up to 12, but $f$ is 6. Taking away either word loses all 6: each is right for itself, and they cannot be added.
# Along the way, $dx(\alpha) = (2\alpha, 3\alpha)$, the integral of $\alpha$ is $\frac12$, and $r = (3, 3)$: shared
# evenly.

# %%
point, steps = np.array([3.0, 2.0]), (np.arange(100) + 0.5) / 100
at_the_point = point * point[::-1]
on_the_way = np.mean([point * (a * point)[::-1] for a in steps], axis=0)
show(gradient_times_input=at_the_point, along_the_way=on_the_way)
assert at_the_point.tolist() == [6, 6] and np.allclose(on_the_way, [3, 3])

# %% [markdown]
# ## The backward, step by step
#
# **Through the switch.** In (10.6) each $y$ is a product of two numbers. $x_{t, aD+d}$ stands in one $y$ only,
# multiplied by $\xi_{ta}$. $\xi_{ta}$ stands in all $D$ numbers of its head, each time multiplied by the $x$ there: its
# paths add up.
#
# $$ dx_{t,\, a D + d} = \xi_{ta}\, dy_{t,\, a D + d}, \qquad d\xi_{ta} = \sum_d dy_{t,\, a D + d}\; x_{t,\, a D + d}
# $$
#
# That is (10.7). $d\xi$ at $\xi = 1$ is gradient × input of the head's output: (b) once more, with $b = 0$. In the
# example, for $dy$ of ones, $d\xi = (1 + 2, 3 + 4)$.

# %%
show(mask_heads_backward)
dx, dxi = mask_heads_backward(np.ones((1, 4)), x, xi)
assert dx.tolist() == [[1, 1, 0.5, 0.5]] and dxi.tolist() == [[3, 7]]

# %% [markdown]
# **How much a model owes to a head.** If $\xi_a$ goes from 1 to 0, the loss of one example changes by about
# $-\partial L/\partial \xi_a$. Some examples lose by it, others gain; for a head that matters both are large. So the
# size is taken of each, and then the mean over the examples $i$ (Michel et al. 2019):
#
# $$ I_a = \frac1n \sum_i \left| \frac{\partial L_i}{\partial \xi_a} \right| \tag{17.1} $$
#
# The mean of the *gradients* would be another thing: what all examples together want. Where they disagree, it is near
# zero.

# %%
show(head_importance)

# %% [markdown]
# **To the words.** $dx_t$ is what `model.backward` returns: the gradient of the words' vectors, at the very end of the
# way back. We let it begin not at a loss but at the margin: its slope by the two scores is $(-1, 1)$.


# %%
table = model.bert.embeddings.word_embeddings.weight.data
neutral = table[FILLING:].mean(axis=0)


def margin(vectors):
    """f for vectors (B, S, H) in the words' places: (B,)"""
    with inference():
        scores = np.array(model(inputs_embeds=vectors).logits)
    return scores[:, 1] - scores[:, 0]


def margin_gradient(vectors):
    model(inputs_embeds=vectors)
    gradient = model.backward(dlogits=np.tile([-1.0, 1.0], (len(vectors), 1)))
    model.zero_grad()  # the weights' gradients are of no use here
    return gradient


def taken_away(vectors):
    """(a): every word of each sentence replaced, one at a time: (B, S)"""
    lost = np.zeros(vectors.shape[:2])
    for t in range(1, S):
        without = vectors.copy()
        without[:, t] = neutral
        lost[:, t] = margin(vectors) - margin(without)
    return lost


def gradient_times_input(vectors):
    """(b); the [CLS] stays what it is"""
    contribution = (margin_gradient(vectors) * (vectors - neutral)).sum(axis=-1)
    contribution[:, 0] = 0
    return contribution


def along_the_way(vectors, pieces=400):
    """(c), the integral as a mean over the middles of so many pieces"""
    start = vectors.copy()
    start[:, 1:] = neutral
    alpha = ((np.arange(pieces) + 0.5) / pieces)[:, None, None]
    slopes = [margin_gradient(a + alpha * (x - a)).mean(axis=0) for a, x in zip(start, vectors, strict=True)]
    return (slopes * (vectors - start)).sum(axis=-1), margin(vectors) - margin(start)


# %% [markdown]
# ## Checked

# %%
report = check_formula("mask_heads")
print(report)
assert report.ok

# %% [markdown]
# The gradients that everything here rests on: of the margin by the words' vectors, and of the loss by each switch,
# against slopes from values alone.

# %%
some = table[ids[:2]]
report = check(margin, lambda dy, vectors: {"vectors": margin_gradient(vectors) * dy[:, None, None]}, {"vectors": some})
assert report.ok

with head_mask(model, ones):
    model(ids, labels=labels)
    model.backward()
    by_switch = head_gradients(model).sum(axis=0)  # (L, A): of the mean loss, by a mask that all sentences share
    model.zero_grad()


def loss(mask):
    with inference(), head_mask(model, mask):
        return float(model(ids, labels=labels).loss)


for place in np.ndindex(2, 4):
    h = 1e-5 * (np.arange(8).reshape(2, 4) == np.ravel_multi_index(place, (2, 4)))
    slope = (loss(ones + h) - loss(ones - h)) / 2e-5
    assert abs(slope - by_switch[place]) < 1e-8 + 1e-4 * abs(slope)
print("gradients by the switches:", by_switch.round(5).tolist())

# %% [markdown]
# ## Three claims, tested
#
# **A head taken out is a head whose columns of $W_O$ are zero.** So a head that is not needed can be cut off, and the
# model gets smaller.

# %%
mask = ones.copy()
mask[0, 1] = 0
with inference(), head_mask(model, mask):
    switched_off = np.array(model(ids).logits)
weight = model.bert.encoder.layer[0].attention.output.dense.weight.data
kept = weight.copy()
weight[:, 8:16] = 0  # head 1 of D = 8
with inference():
    cut_off = np.array(model(ids).logits)
weight[...] = kept
with inference():
    untouched = np.array(model(ids).logits)
print(f"switched off or cut off: {abs(switched_off - cut_off).max():.1e}; from the whole model: "
      f"{abs(switched_off - untouched).max():.1e}")  # fmt: skip
assert abs(switched_off - cut_off).max() < 1e-10 < 1e-3 < abs(switched_off - untouched).max()

# %% [markdown]
# **Along the way, nothing is lost**: (c) adds up to the difference of the margins, for each sentence. Gradient × input
# does not.

# %%
few = slice(0, 24)
vectors = table[ids]
way, whole = along_the_way(vectors[few])
first_order = gradient_times_input(vectors)
print(f"to be explained, mean size:   {np.abs(whole).mean():.2f}")
print(f"missed along the way:         {np.abs(way.sum(axis=1) - whole).max():.4f} at most")
print(f"missed by gradient × input:   {np.abs(first_order[few].sum(axis=1) - whole).mean():.2f} in the mean")
assert np.abs(way.sum(axis=1) - whole).max() < 0.05
assert np.abs(first_order[few].sum(axis=1) - whole).mean() > 0.9 * np.abs(whole).mean()

# %% [markdown]
# It misses nearly *all* of it. Why? The model is sure: its margin is about +7 or -7, and hardly anything moves it by a
# little. It is a switch. Far from the point where it flips, the slope is next to nothing, though taking a word away
# throws it over. **A gradient says what a small step does. Of a sure model it says: nothing.**
#
# **Do they find the word that decides?** In each sentence one word tells the feeling, and we know which. How often is
# it, or the "not" before it, the word with the largest measure?

# %%
with inference():
    attentions = model(ids, output_attentions=True).attentions
looks = attentions[-1][:, :, 0].mean(axis=1)  # (B, S): from [CLS], last layer, mean over the heads
assert np.allclose(looks.sum(axis=-1), 1)
looks[:, 0] = 0
away = taken_away(vectors)
measures = {"taken away": away, "gradient × input": first_order, "along the way": way, "attention": looks}
tells = (ids >= NOT) & (ids < FILLING)  # the feeling, and the "not"
found = {}
for name, values in measures.items():
    largest = np.abs(values).argmax(axis=1)
    found[name] = tells[np.arange(len(values)), largest].mean()
    print(f"{name:17} finds it in {found[name]:4.0%} of {len(values)} sentences")
assert found["taken away"] > 0.95
assert found["attention"] < 0.85 and found["gradient × input"] < 0.95

# %% [markdown]
# Taking away finds it nearly always; that is no wonder, it *is* the question. Attention alone is not a reliable
# witness: `[CLS]` may take what it needs from another place, to which the first layer has carried it.
#
# And taking away tells something that nobody has asked for. A sentence of nothing but filling has a margin, too:

# %%
nothing = np.repeat(neutral[None, None], S, axis=1)
nothing[0, 0] = table[0]
plain = ~(ids == NOT).any(axis=1)  # sentences without "not"
good_words, bad_words = (np.abs(away[plain][kind[plain]]).mean() for kind in (tells & (ids < 5), tells & (ids >= 5)))
print(f"a sentence of nothing: {margin(nothing)[0]:+.2f}")
print(f"taken away where there is no 'not': a good word {good_words:.2f}, a bad word {bad_words:.2f}")
assert margin(nothing)[0] > 5 and good_words < 2 and bad_words > 10

# %% [markdown]
# The model holds everything for good until it is told otherwise. With two answers that is enough: it has learnt to look
# for bad words and for "not", and a good word by itself hardly counts. It is right, and not for the reason we thought.
#
# ## Which heads does it need?
#
# First by gradients (17.1), then by the deed: take out one at a time; then more and more of them.


# %%
class Examples:
    lengths = np.full(len(ids), S)

    def __len__(self):
        return len(ids)

    def batch(self, rows):
        return {"input_ids": ids[rows], "labels": labels[rows]}


importance = head_importance(model, Examples(), by_layer=False)
alone = np.array([[score(ones - (np.arange(8) == 4 * l + a).reshape(2, 4)) for a in range(4)] for l in range(2)])
show(importance=importance * 1e3, right_answers_without_it=alone)
least_first = ablation_curve(score, importance, steps=8)
most_first = ablation_curve(score, importance, steps=8, most_important_first=True)
at_random = ablation_curve(score, importance, steps=8, rng=np.random.RandomState(3))
print("the least important first:", [round(right, 2) for _, right in least_first])
print("the most important first: ", [round(right, 2) for _, right in most_first])
assert alone.min() < 0.5 and (alone >= 0.9).sum() == 7
assert dict(least_first)[6] > 0.9 and dict(most_first)[1] < 0.5

# %% [markdown]
# Seven of eight can be missed, each for itself. Taken out in the order of (17.1), six of eight can go *together* and
# the two that are left still give nearly all answers. But without the one that matters the model is not merely
# ignorant, which would be half of the answers: it is misled. It had built on that head.
#
# The gradients themselves are tiny, for the reason above. Their *order* is still good. That is all that (17.1) is used
# for.
#
# ## The picture
#
# One sentence, and the same with "not" for "very". Each row is divided by its largest number, which stands beside its
# name; else the gradient's would be empty. In the first nothing counts for much: good is what this model says anyway.
# Gradient and attention point at *the*, of all words. In the second, taking away either *not* or *happy* throws the
# switch, by 14; along the way all of it goes to *not*.

# %%
written = [f"[CLS] she felt {word} happy today by the river".split() for word in ("very", "not")]
both = np.array([[WORDS.index(word) for word in words] for words in written])
with inference():
    shares = model(both, output_attentions=True).attentions[-1][:, :, 0].mean(axis=1)
shares[:, 0] = 0
rows = {"taken away": taken_away(table[both]), "gradient × input": gradient_times_input(table[both]),
        "along the way": along_the_way(table[both])[0], "attention": shares}  # fmt: skip
says = margin(table[both])
print("margins:", says.round(2))
assert says[0] > 5 and says[1] < -5 and set(np.argsort(-np.abs(rows["taken away"][1]))[:2]) == {3, 4}
assert np.abs(rows["taken away"][0]).max() < 3 and np.abs(rows["taken away"][1, 3:5]).min() > 12
assert written[0][np.abs(rows["gradient × input"][0]).argmax()] == written[0][shares[0].argmax()] == "the"
assert np.abs(rows["along the way"][1]).argmax() == 3
draw(
    plotting.matrices,
    "ch17_words.png",
    panels=[
        {"title": f"margin {says[i]:+.1f}: {'good' if says[i] > 0 else 'bad'}", "columns": words,
         "rows": [f"{name}: {np.abs(values[i]).max():.2g}" for name, values in rows.items()],
         "values": [values[i] / np.abs(values[i]).max() for values in rows.values()]}
        for i, words in enumerate(written)
    ],
    columns=1,
    height=2.0,
    limit=1.0,
    unit="share of the row's largest",
)  # fmt: skip
draw(
    plotting.ablation,
    "ch17_heads.png",
    curves={"the least important": least_first, "at random": at_random, "the most important": most_first},
    metric="accuracy",
)

# %% [markdown]
# ## What others do
#
# * **Michel et al. 2019** took the heads out of a translation model and of BERT and found what we found: most can be
#   missed one by one, many together. They divide $I$ by its size within each layer; so does `bertnp head-importance`
#   unless told otherwise.
# * **transformers** takes a `head_mask` in the forward that is multiplied with the *probabilities*; here with what the
#   head puts out. Since that is linear in the probabilities, both are the same.
# * **Attention rollout** (Abnar & Zuidema 2020) multiplies the layers' shares, each mixed half and half with a table of
#   ones on the diagonal for the residual. It follows the paths, and still knows nothing of $f$.
# * Whether attention explains anything has been disputed at length: Jain & Wallace 2019 say no, Wiegreffe & Pinter 2019
#   say it depends on what one calls an explanation.
#
# ## Common mistakes
#
# * **Starting from the loss** where the answer is meant: of a right and sure answer the loss is 0 and so is its
#   gradient. Start from a score or a margin.
# * **The gradient of the probability**: the softmax is flat where it is sure (chapter 05), which makes things worse.
# * **No baseline.** "Compared with what?" is part of the question. With $b = 0$ one compares with a vector that no word
#   has.
# * **Dropout left on** while looking: two looks, two answers.
# * **Summing over examples before taking the size** in (17.1). How wrong is it here?

# %%
size_of_the_mean = np.abs(by_switch)
print("mean of sizes / size of the mean:", (importance / size_of_the_mean).round(1).tolist())
assert (importance >= size_of_the_mean - 1e-15).all() and (importance / size_of_the_mean).max() > 2


def forgotten_sum(dy, x, head_mask):
    dx, _ = mask_heads_backward(dy, x, head_mask)
    return dx, (dy * x).reshape(*head_mask.shape, -1).mean(axis=-1)


report = check_formula("mask_heads", backward=forgotten_sum)
print(report.sentence)
assert not report.ok

# %% [markdown]
# ## Exercises
#
# **17.1** Write attention rollout for this model. Do its rows add up to 1? In how many sentences does it find the word
# that decides? (`bertnp learn check 17.1`)
#
# **17.2** Which head of the model looks from a word at the one before it? Average the attention over sentences, by
# distance. Is it the head that matters most? (`bertnp learn check 17.2`)
#
# **17.3** Show that for a linear $f$ the measures (a), (b) and (c) are the same.
#
# **17.4** Train for 80 steps only, so that the model is less sure. What happens to gradient × input?
#
# **17.5** Change the language so that a good word *must* be noticed: a third class, "nothing felt". Does the surprise
# of this chapter go away?
