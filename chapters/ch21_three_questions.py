# %% [markdown]
# # 21 · Too slow, too weak, worse on new text: three questions to a training, each answered by a measurement
#
# Needs: chapters 02, 05, 08, 12 and 13. Runtime: 30 seconds.
#
# **What you will understand.** How two numbers, the loss on training text and the loss on new text, tell which of three
# things is wrong; what learning rate, batch size, size of the model and amount of data do to them; why a batch four
# times as large is only twice as exact; and when more training text made from the old one helps, and when it harms.

# %%
import sys
from functools import cache

import numpy as np

from bertnp import (
    AdamW,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    inference,
    plain_formulas,
    plotting,
)
from bertnp.data import LabelledTexts
from bertnp.data.augmentation import augmented, drop_words, replace_words, swap_words
from bertnp.data.world import valley
from bertnp.data.world.valley import FEELINGS
from bertnp.learn import draw, show
from bertnp.optim import schedules
from bertnp.pipelines import FillMask

FULL = "--full" in sys.argv  # more seeds: some minutes
SEEDS, FEW_SEEDS = (range(10), range(10)) if FULL else (range(3), range(2))

# %% [markdown]
# ## The idea
#
# A training has gone badly. It may have gone badly in three ways, and what helps against one makes another worse:
#
# | loss on training text | loss on new text | the training is | try |
# |---|---|---|---|
# | high, and still falling | as high | **too slow** | a higher rate, smaller batches, more steps |
# | high, and falls no more | as high | **too weak** | a larger model, better input |
# | low | high | **worse on new text** | more data, a smaller model, an earlier end |
#
# So measure both losses, always; no other number says as much. "New" is text that no decision has been made by: neither
# a step of the optimiser, nor the choice of a rate.
#
# ## A task that can go badly
#
# In the valley, the small invented world of `bertnp tour`, people, animals and places are talked of in some forty words
# for good feelings and bad ones. Our sentences have two such words, of the same kind; and in half of them stands
# "never" or "not", which turns good into bad. So no single word tells the answer: it takes a feeling *and* whether it
# is denied.

# %%
PLAIN = [
    "{she} felt {happy} by the {lovely} {lake}.",
    "it was a {lovely} {morning} and the {dog} was {happy}.",
    "{she} {loves} the {happy} {dog}.",
    "I {love} this {lovely} {morning}.",
]
DENIED = [
    "{she} never felt {happy} by the {lovely} {lake}.",
    "it was not a {lovely} {morning} and the {dog} was not {happy}.",
    "{she} never {loves} the {happy} {dog}.",
    "I never {love} this {lovely} {morning}.",
]
world = valley()


def sentences(N, seed):
    """N sentences, half of them denied, and their labels: 1 for good, 0 for bad."""
    plain, labels = world.labelled_sentences(PLAIN, "weather", {"rain": 0, "sun": 1}, N // 2, f"plain {seed}")
    denied, turned = world.labelled_sentences(DENIED, "weather", {"rain": 1, "sun": 0}, N // 2, f"denied {seed}")
    return plain + denied, labels + turned


special = "[PAD] [UNK] [CLS] [SEP] [MASK]".split()
tokenizer = BertTokenizer([*special, *sorted({*world.words, "never", "not", "this"})])
new_texts, new_labels = sentences(400, "new")
for text, label in zip(new_texts[-3:], new_labels[-3:], strict=True):
    print(label, text)
assert tokenizer.unk_token_id not in np.concatenate(tokenizer(new_texts)["input_ids"])


def encoded(texts, labels):
    batch = tokenizer(texts, padding="max_length", max_length=16, return_tensors="np")
    return batch["input_ids"], batch["attention_mask"], np.array(labels)


# %% [markdown]
# The training loop is that of chapter 13. `train` gives both losses and both accuracies at the end, without dropout,
# and the loss of every step on the way. (`plain_formulas`: on arrays as small as these, the textbook bodies are faster
# than the kernels.)


# %%
def a_model(H, seed, kind=BertForSequenceClassification):
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=H, num_hidden_layers=1, num_attention_heads=2, intermediate_size=2 * H,
        max_position_embeddings=16, initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return kind(config, seed=seed)


def evaluate(model, data):
    ids, mask, labels = data
    with inference():
        out = model(ids, attention_mask=mask, labels=labels)
    return float(out.loss), float((np.array(out.logits).argmax(axis=-1) == labels).mean())


def train(data, H=64, rate=4e-3, B=32, steps=100, seed=0):
    """((loss, accuracy) on the training data, the same on new sentences, the losses of all steps)"""
    ids, mask, labels = data
    model, rng, losses = a_model(H, seed).train(), np.random.RandomState(100 + seed), []
    optimizer = AdamW(model)
    with plain_formulas():
        for step in range(steps):
            rows = rng.randint(0, len(ids), B)
            out = model(ids[rows], attention_mask=mask[rows], labels=labels[rows])
            model.backward()
            optimizer.lr = rate * schedules.linear(step, steps, warmup=10)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(out.loss))
        model.eval()
        return evaluate(model, data), evaluate(model, encoded(new_texts, new_labels)), np.array(losses)


@cache
def trained(N=512, seed=0, **settings):
    return train(encoded(*sentences(N, seed)), seed=seed, **settings)


def measured(results):
    """Mean over the seeds of loss and accuracy, on training sentences and on new ones, and the last one's deviation."""
    numbers = np.array([[*old, *new] for old, new, _ in results])
    return *numbers.mean(axis=0), numbers[:, 3].std(ddof=1)


HEAD = f"{'':16}{'training':>18}{'new':>20}\n{'':16}{'loss':>9}{'right':>9}{'loss':>9}{'right':>9}"


def row(name, results):
    loss, right, new_loss, new_right, spread = found = measured(results)
    print(f"{name:16}{loss:9.3f}{right:9.1%}{new_loss:9.3f}{new_right:9.1%} ± {spread:.1%}")
    return found


# %% [markdown]
# ## The formula
#
# **The gap** is what a model has learnt of its examples that is not true of others:
#
# $$ G = L_{\text{new}} - L_{\text{training}} \tag{a} $$
#
# **The noise of a batch.** The gradient $g$ of all training data is the mean of the gradients $g_i$ of single examples.
# A batch of $B$ examples, drawn at random, gives $g_B = \frac1B \sum_{b} g_{i_b}$ in its place. How far is it off?
# Write $e_i = g_i - g$, whose mean over all $i$ is 0. Then $g_B - g = \frac1B \sum_b e_{i_b}$, and its square length is
#
# $$ \lVert g_B - g \rVert^2 = \frac{1}{B^2} \Big( \sum_b \lVert e_{i_b} \rVert^2
#    + \sum_{b \ne c} \langle e_{i_b}, e_{i_c} \rangle \Big) $$
#
# In the mean over all draws, each of the $B$ terms on the left is $\sigma^2$, the mean of $\lVert e_i \rVert^2$. Each
# on the right is 0, for the two examples are drawn independently, and the mean of each $e$ is 0. So
#
# $$ \operatorname{mean} \lVert g_B - g \rVert^2 = \frac{\sigma^2}{B}: \qquad
#    \text{the noise is } \frac{\sigma}{\sqrt B} \tag{b} $$
#
# Four times the batch, four times the work, half the noise.
#
# **The reach.** Adam moves each number by about the rate $\eta$ a step, however long the gradient is (chapter 13).
# After $M$ examples in batches of $B$, that is $K = M/B$ steps, no number has come further than about
#
# $$ K\, \eta = \frac{M\, \eta}{B} \tag{c} $$
#
# Whoever makes batches larger and leaves the rate as it is, makes the training slower by just that factor.
#
# **The luck of a test.** A model is right with probability $p$. Its score on one example, 1 or 0, has the mean $p$, and
# its square distance from it is $p\,(1-p)^2 + (1-p)\,p^2 = p\,(1-p)$ in the mean. Its share of right answers on $n$ new
# examples is a mean of $n$ such scores, and so, as in (b), scatters about $p$ by
#
# $$ \sqrt{\frac{p\,(1-p)}{n}} \tag{d} $$
#
# With $p = 0.9$ and our $n = 400$: 1.5 %. What differs by less than that, or by less than seeds differ, does not
# differ.
#
# ## By hand
#
# Four examples whose gradients are single numbers, $-3, -1, 1, 3$. Their mean is $g = 0$, and $\sigma^2 = \frac{9 + 1 +
# 1 + 9}{4} = 5$. A batch of two has 16 possible draws, and by (b) its mean square is $\frac52$:

# %%
examples = np.array([-3.0, -1.0, 1.0, 3.0])
pairs = (examples[:, None] + examples) / 2  # all 16 means of two
show(pairs=pairs, mean_square=(pairs**2).mean())
assert (pairs**2).mean() == 5 / 2 == (examples**2).mean() / 2
print(f"(d) for p = 0.9, n = 400: {np.sqrt(0.9 * 0.1 / 400):.3f}")

# %% [markdown]
# ## Checked
#
# (b) with the gradients of a real model, all its numbers as one long vector. First: is the gradient of a batch the mean
# of its sentences' gradients? Then 128 of these are enough, and batches can be drawn from them by the thousand. With
# $c_i$ for how often example $i$ is in a batch, $\lVert g_B - g \rVert^2 = \frac{1}{B^2} \sum_{ij} c_i c_j \langle e_i,
# e_j \rangle$.

# %%
ids, mask, labels = encoded(*sentences(128, 0))
model = a_model(64, seed=0).astype(np.float64).train()


def gradient(rows):
    """g of the mean loss of these sentences, as one vector"""
    model.zero_grad()
    model(ids[rows], attention_mask=mask[rows], labels=labels[rows])
    model.backward()
    return np.concatenate([parameter.grad.ravel() for _, parameter in model.named_parameters()])


with plain_formulas():
    single = np.array([gradient([i]) for i in range(128)])
    assert np.abs(single[[3, 70, 3, 5]].mean(axis=0) - gradient([3, 70, 3, 5])).max() < 1e-12
g = single.mean(axis=0)
products = (single - g) @ (single - g).T  # (128, 128): of each e with each
sigma = np.sqrt(np.trace(products) / 128)
rng, sizes, noise = np.random.RandomState(21), np.array([1, 4, 16, 64]), []
for B in sizes:
    c = np.array([np.bincount(rng.randint(0, 128, B), minlength=128) for _ in range(4000)])
    noise.append(np.sqrt(((c @ products) * c).sum(axis=1).mean()) / B)
print(f"the gradient itself is {np.linalg.norm(g):.3f} long")
for B, found in zip(sizes, noise, strict=True):
    print(f"B = {B:3}: noise {found:.3f}, predicted {sigma / np.sqrt(B):.3f}")
    assert abs(found / (sigma / np.sqrt(B)) - 1) < 0.05
assert noise[1] > np.linalg.norm(g) > 3 * noise[3]

# %% [markdown]
# So a batch of four sentences is as much noise as gradient, and this at the beginning, where the gradient is long.
# Later it gets shorter, and what is left in every batch is noise mostly. A training learns all the same: over many
# steps what the batches have in common adds up, and the noise cancels.
#
# ## Too slow
#
# **The learning rate.** 512 sentences, 100 steps, everything else the same:

# %%
RATES = [4e-4, 1.2e-3, 4e-3, 1.2e-2, 4e-2]
print(HEAD)
by_rate = {rate: row(f"rate {rate:g}", [trained(rate=rate, seed=seed) for seed in FEW_SEEDS]) for rate in RATES}
low, good, high = (by_rate[rate] for rate in (4e-4, 4e-3, 4e-2))
assert low[0] > 0.5 and low[2] - low[0] < 0.05  # too slow: both high
assert good[0] < 0.1 and good[3] > 0.95
assert high[0] > 0.3 and high[2] > good[2] + 0.3  # thrown about

# %% [markdown]
# A tenth of the best rate has learnt next to nothing: its loss is not far from $\ln 2 = 0.69$, that of guessing. Ten
# times the best rate is no better: its first steps have thrown it to where it says nearly the same to all sentences
# (chapter 13), and how much it learns after that is luck. Between the two lies a factor of 100, so look for a rate in
# *factors* of three, not in steps of 0.001. The best is the highest at which the loss still falls smoothly, or a little
# less.
#
# **The batch.** 3200 sentences are seen in each of these trainings, in fewer and fewer steps:

# %%
print(HEAD)
by_batch = {}
for B, rate in ((16, 2e-3), (64, 2e-3), (64, 4e-3)):
    results = [trained(B=B, rate=rate, steps=3200 // B, seed=seed) for seed in FEW_SEEDS]
    by_batch[B, rate] = row(f"B {B}, rate {rate:g}", results)
assert by_batch[16, 2e-3][0] < 0.1 and by_batch[64, 2e-3][0] > 0.3
assert by_batch[64, 4e-3][0] < 0.7 * by_batch[64, 2e-3][0]

# %% [markdown]
# As (c) says: with four times the batch the same rate is four times too slow. Twice the rate makes up for most of it.
# How much is right lies between $\sqrt B$, by the noise (b), and $B$, by the reach (c), and depends on which of the two
# held the training back.
#
# ## Too weak
#
# **The size of the model.** $H = 2$, $4$ and $64$. At first the two small ones look alike:

# %%
STEPS = 300
curves = {H: [trained(H=H, rate=1e-2, steps=STEPS, seed=seed) for seed in FEW_SEEDS] for H in (2, 4)}
curves[64] = [trained(seed=seed) for seed in FEW_SEEDS]
loss_after = {H: np.mean([losses for _, _, losses in results], axis=0) for H, results in curves.items()}
for H, losses in loss_after.items():
    print(f"H = {H:2}: loss in steps 30 to 40 {losses[30:40].mean():.3f}, at the end, step {len(losses)}, "
          f"{losses[-20:].mean():.3f}")  # fmt: skip
assert min(loss_after[H][30:40].mean() for H in (2, 4)) > 0.65
assert loss_after[2][-20:].mean() > 0.68 and loss_after[4][-20:].mean() < 0.4 and loss_after[64][-20:].mean() < 0.1

# %% [markdown]
# But they aren't: with four numbers a token the model learns, only late. It was slow. With two it never does. It *can*
# not: a layer norm of two numbers leaves nothing but a sign (chapter 06: $\hat x$ is $(1, -1)$ or $(-1, 1)$), so behind
# each norm there are only two different vectors, and feeling and denial make four cases. **Train longer, and a slow
# model shows that it was slow.** Only what stays is weak.
#
# A model may also be weak in its input: were "never" not in the vocabulary, no size would help.
#
# ## Worse on new text
#
# **The amount of data.** The same model and the same 100 steps, on more and more sentences:

# %%
AMOUNTS = [32, 64, 128, 256, 512]
print(HEAD)
by_amount = {N: row(f"N = {N}", [trained(N=N, seed=seed) for seed in SEEDS]) for N in AMOUNTS}
gap = {N: found[2] - found[0] for N, found in by_amount.items()}
print("gap (a):", {N: f"{of:.2f}" for N, of in gap.items()})
assert by_amount[32][1] > 0.95 and by_amount[32][3] < 0.75 and by_amount[512][3] > 0.95
assert by_amount[32][2] > 1  # sure and wrong
assert gap[32] > gap[64] > gap[128] > gap[512] and gap[512] < 0.15

# %% [markdown]
# 32 sentences are learnt by heart: a loss of nearly 0, and on new ones hardly better than guessing, *with a loss far
# above $\ln 2$*. The model is sure and wrong. Each doubling of the data makes the gap smaller. Nothing else helps as
# reliably.
#
# **More text from the old one: augmentation.** If sentences are few, one can make more of them by changing words and
# keeping the label. Three ways: leave words out; let words change places; hide words and let a masked-word model
# (chapter 12) fill them in. Of the $k$ likeliest words $w$ for the place, without the one that was there, each is drawn
# with
#
# $$ q(w) = \frac{p(w)}{\sum_{w' \text{ among the } k} p(w')} \tag{21.1} $$

# %%
show(drop_words, swap_words, replace_words)

# %% [markdown]
# The masked-word model is trained here, on 2000 sentences without labels:

# %%
language_model = a_model(32, seed=0, kind=BertForMaskedLM).train()
optimizer, rng = AdamW(language_model, lr=5e-3), np.random.RandomState(0)
ids, mask, _ = encoded(*sentences(2000, "without labels"))
with plain_formulas():
    for _ in range(400):
        rows = rng.randint(0, len(ids), 32)
        words = ids[rows]
        chosen = (rng.rand(*words.shape) < 0.2) & (words >= len(special))
        out = language_model(np.where(chosen, tokenizer.mask_token_id, words), attention_mask=mask[rows],
                             labels=np.where(chosen, words, -100))  # fmt: skip
        language_model.backward()
        optimizer.step()
        optimizer.zero_grad()
fill_mask = FillMask(language_model.eval(), tokenizer)
question = "She felt [MASK] by the horrible lake."
print(question, ", ".join(f"{word['token_str']} {word['score']:.0%}" for word in fill_mask(question)))


def by_the_model(texts):
    """For each text, and each [MASK] in it, the words that fit and their probabilities."""
    found = [words if isinstance(words[0], list) else [words] for words in fill_mask(texts, top_k=20)]
    return [[[(word["token_str"], word["score"]) for word in words] for words in each] for each in found]


# %% [markdown]
# It knows which kind of word stands in such a place, and has an idea that this one is sad. But of ten words that it
# would put there, some are merry: for more it is too small, or has read too little.
#
# For comparison, a fourth way that nobody has in earnest: by someone who *knows* this world, and puts for a word only
# one that means the same. And a judge, who reads off the words what the right label is.

# %%
SAME = {word.lower(): words for slot in world.slots.values() for words in slot.words.values() for word in words}
GOOD, BAD = ({word + ending for words in FEELINGS[kind].values() for word in words.split() for ending in ("", "s")}
             for kind in ("sun", "rain"))  # fmt: skip


def by_one_who_knows(text, rng, p=0.3):
    return " ".join(
        SAME[word][rng.randint(len(SAME[word]))] if word in SAME and rng.rand() < p else word for word in text.split()
    )


def meaning(text):
    """The right label, or None where it can't be told"""
    words = set(text.lower().rstrip(".").split())
    good, bad = bool(words & GOOD), bool(words & BAD)
    return None if good == bad else int(good != bool(words & {"never", "not"}))


assert [meaning(text) for text in new_texts] == new_labels

WAYS = {
    "left out": {"dropout": 0.15},
    "change places": {"swap": 0.15},
    "by the model": {"replace": 0.3, "fill": by_the_model},
    "by one who knows": None,
}


def more(way, N, seed, copies=3):
    """N sentences and `copies` changed ones of each, with the labels of the old"""
    texts, labels = sentences(N, seed)
    if WAYS[way]:
        table = augmented(LabelledTexts(texts, labels), copies, seed, **WAYS[way])
        return table.texts, table.labels
    rng = np.random.RandomState(100 + seed)
    return texts + [by_one_who_knows(text, rng) for text in texts * copies], labels * (1 + copies)


print(HEAD)
results = {"as they are": [trained(N=64, seed=seed) for seed in SEEDS]}
wrong = {"as they are": 0.0}
for way in WAYS:
    made = [more(way, 64, seed) for seed in SEEDS]
    wrong[way] = np.mean([meaning(text) != label for pair in made for text, label in zip(*pair, strict=True)])
    results[way] = [train(encoded(*one), seed=seed) for one, seed in zip(made, SEEDS, strict=True)]
by_way = {way: row(way, of) for way, of in results.items()}
print("wrong labels:", {way: f"{share:.0%}" for way, share in wrong.items()})
assert wrong["change places"] == wrong["by one who knows"] == 0
assert wrong["by the model"] > 0.2 > 0.1 > wrong["left out"] > 0.02
assert by_way["by one who knows"][2] < by_way["as they are"][2] - 0.1  # the loss on new sentences
assert by_way["left out"][3] + by_way["change places"][3] < 2 * by_way["as they are"][3] - 0.1

# %% [markdown]
# Three of the four make it *worse* here, or at best no better:
#
# * **words left out**: one word in seven of the new texts is missing, and sometimes it is "never". Then the label is
#   wrong;
# * **words in other places**: no label is wrong, but nobody says "by lake felt the happy she". The model spends its
#   strength on sentences that do not occur;
# * **words filled in by the model**: of two words for feelings each is hidden by itself, sometimes both; what fits
#   grammatically need not mean the same. Three labels in ten are wrong, those of unchanged sentences counted as well;
# * **by one who knows**, the loss on new text falls clearly: new words, right labels, real sentences.
#
# On long reviews it is another matter: there a word more or less seldom turns the meaning. But the rule holds. **A
# changed text is worth something if its label is still right *and* it looks like a text that will come.** Whether that
# is so cannot be known beforehand: count wrong labels in a hundred changed texts, by reading them, and compare
# trainings over several seeds.
#
# ## The picture
#
# The three questions, and the noise. In the upper row: too slow and thrown about, left and right of the best rate; slow
# and weak look alike until one waits. Below: the gap closes as data grows; and the noise of a batch.

# %%
panels = [
    {"title": "too slow?", "xlabel": "learning rate", "ylabel": "loss", "log": "x", "ylim": (0, 1),
     "series": {name: (RATES, [by_rate[rate][i] for rate in RATES]) for name, i in (("training", 0), ("new text", 2))},
     "levels": {"guessing: ln 2": np.log(2)}},
    {"title": "too weak?", "xlabel": "step", "ylabel": "loss", "ylim": (0, 1),
     "series": {f"H = {H}": (np.arange(10, len(losses), 20), losses.reshape(-1, 20).mean(axis=1))
                for H, losses in loss_after.items()}},
    {"title": "worse on new text?", "xlabel": "training sentences N", "ylabel": "loss", "log": "x", "xticks": AMOUNTS,
     "series": {name: (AMOUNTS, [by_amount[N][i] for N in AMOUNTS]) for name, i in (("training", 0), ("new text", 2))},
     "levels": {"guessing: ln 2": np.log(2)}},
    {"title": "noise of a batch's gradient", "xlabel": "batch B", "ylabel": "length", "log": "xy",
     "xticks": sizes, "yticks": [1, 2, 4, 8],
     "series": {"measured": (sizes, noise), "σ / √B": (sizes, sigma / np.sqrt(sizes))}},
]  # fmt: skip
draw(plotting.curves, "ch21_three_questions.png", panels=[{**panel, "markers": True} for panel in panels], columns=2)

# %% [markdown]
# ## On your own texts
#
# The same tables for a file of labelled sentences and a published model, with the library's commands; each writes
# `sweep.tsv` and a picture:
#
# ```
# bertnp finetune reviews.tsv --model DIR -o rates   --sweep lr=1e-5,3e-5,1e-4 batch=16,64 --seeds 3
# bertnp finetune reviews.tsv --model DIR -o amounts --fractions 0.03,0.1,0.3,1 --seeds 5
# bertnp finetune reviews.tsv --model DIR -o more    --augment replace=0.15 --sweep copies=0,1,3 --seeds 5
# ```
#
# So measured for sentences of film reviews, praise or blame (Pang & Lee 2005), with MiniLM-L6, a model of six layers
# for sentence vectors: two epochs, right answers on 1066 sentences held out, one training for each number, rates and
# batches on 960 sentences. Chance moves such a number by one or two points, so look at the large steps only.
#
# | rate (batches of 32) | $10^{-5}$ | $5 \cdot 10^{-5}$ | $2 \cdot 10^{-4}$ | $10^{-3}$ |
# |---|---|---|---|---|
# | right | 50 % | 73 % | 80 % | 50 % |
#
# | batch (rate $2 \cdot 10^{-4}$) | 8 | 16 | 32 | 64 |
# |---|---|---|---|---|
# | right | 77 % | 78 % | 80 % | 77 % |
#
# | sentences | 96 | 288 | 960 | 2879 |
# |---|---|---|---|---|
# | as they are | 51 % | 62 % | 80 % | 82 % |
# | and copies with a tenth of the words left out | 63 % | 72 % | 79 % | |
#
# Too slow at the left of the first table, too wild at its right. The batch matters little. And the copies? With them,
# two epochs have twice as many steps. Where there are few sentences, two epochs are too few: that is what they cure.
#
# ## What others do
#
# * **The paper** tries rates of 5, 3 and 2 times $10^{-5}$, batches of 16 and 32, and 2 to 4 epochs for each task, and
#   for the large model several seeds on small data sets, since some fail.
# * **Large batches**: You et al. 2020 trained BERT with batches of some 32,000, rates raised with $\sqrt B$ and a
#   warm-up to match. Google's own has 256.
# * **Augmentation**: Wei & Zou 2019 leave out, insert and swap words (EDA); Kobayashi 2018 lets a language model
#   replace them, and gives it the label to read, so that what it says fits the label. That is the cure for the third
#   way above.
# * A pre-trained model is the strongest remedy of all against "worse on new text": it has met the words before
#   (`bertnp tour` shows by how much).
#
# ## Common mistakes
#
# * **The training loss measured with dropout, the other without.** Then the gap comes out too small, even negative.
# * **Settings chosen by the test data.** The best of twenty settings is better than it deserves by luck alone:

# %%
rng = np.random.RandomState(5)
scores = rng.binomial(400, 0.9, (1000, 20)) / 400  # twenty settings that are all equally good, a thousand times
print(f"all are right in 90 %; the best of twenty seems to be in {scores.max(axis=1).mean():.1%}")
assert scores.max(axis=1).mean() > 0.92

# %% [markdown]
# * **One seed for each setting.** The last column above is the spread over seeds; it is largest just where one would
#   like to choose.
# * **The batch made larger for speed, and the rate left as it was**, (c).
# * **A slow training taken for a weak model**, and a model made larger, which at the same rate is slower still or flies
#   off.
# * **Changed copies of a text in the training data, the original in the test data.** Split first, then augment.
#
# ## Exercises
#
# **21.1** Five more curves of training and new loss: low and low; ln 2 and ln 2; falling and rising; high and falling
# for both; training higher than new. What is each?
#
# **21.2** Show that with draws *without* putting back, from $n$ examples, (b) becomes $\frac{\sigma^2}{B} \cdot
# \frac{n - B}{n - 1}$. What does it say for $B = n$?
#
# **21.3** Find the best rate for $B = 8$, 32 and 128 (with as many sentences seen). Does it grow with $B$, or with
# $\sqrt B$?
#
# **21.4** Flip the labels of a tenth of the training sentences. Watch both losses over 1000 steps. When should one
# stop, and how would one know?
#
# **21.5** Give the masked-word model the label as a first word ("good" or "bad") in its training and when it fills in.
# How many labels of `by the model` are wrong then? Does it help?
