# %% [markdown]
# # 14 · Pre-training a small BERT: one batch first, then a language, and what a curve tells of a mistake
#
# Needs: chapters 02, 03, 05, 08, 09, 11, 12 and 13. Runtime: 25 seconds.
#
# **What you will understand.** How a BERT is trained from nothing, and how one knows at each moment whether it goes
# well: with what loss it must begin, what it learns first and why, and which loss nobody can get below; what it has
# learnt in the end, and what not yet; how to stop and go on without losing a bit; and how to tell from the curves of
# four spoilt trainings what was done to them. (`--full` trains four times as long.)

# %%
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from bertnp import AdamW, BertConfig, BertForPreTraining, BertTokenizer, Trainer, clip_grad_norm, inference, plotting
from bertnp.data import create_pretraining_instances
from bertnp.data.instances import PretrainingInstance
from bertnp.data.pretraining import PretrainingInstances
from bertnp.data.world import Floor, Slot, World, all_masked, unigram_entropy, valley
from bertnp.functional import cross_entropy, cross_entropy_backward, log_softmax, softmax
from bertnp.gradcheck import check
from bertnp.learn import draw, show
from bertnp.optim import schedules
from bertnp.pipelines import FillMask
from bertnp.tokenization.vocabulary_training import SPECIAL_TOKENS
from bertnp.training import Callback, evaluate_pretraining
from bertnp.training.running import RunningMeans
from bertnp.training.trainer import read_log

FULL = "--full" in sys.argv
STEPS = 2200 if FULL else 550

# %% [markdown]
# ## The idea
#
# All parts are there: the network (chapter 11), the two tasks (12), the optimiser (13). To train is to repeat four
# lines: forward, backward, clip, step. What is hard is something else: **a network with a mistake in it trains, too.**
# It only gets less far, and nobody knows how far it should have got. With real text that is not known to anybody.
#
# So we take a language of which everything is known: a corner of an invented valley, told by a grammar. A story has two
# sentences. Four things are drawn for it by chance, and hold it together: a person, a place, an animal, and the
# weather. Each sentence follows a pattern, such as
#
#     the {sun} {shone} and {she} felt {happy}.
#
# with places in braces that are filled by words drawn anew each time: *{sun}* by the weather, *{she}* by what fits the
# person, *{happy}* by any of the moods that go with the weather. BERT sees the stories only, never the grammar.

# %%
whole = valley()  # of its eight people we take four, and so on; of its four sentences the last two
hidden = {variable: values[::2] if len(values) > 2 else values for variable, values in whole.hidden.items()}
slots = {
    name: Slot(slot.variable, {value: slot.words[value][:4] for value in hidden.get(slot.variable, [None])})
    for name, slot in whole.slots.items()
}
world = World(hidden, slots, [[" ".join(pattern) for pattern in patterns] for patterns in whole.patterns[2:]])
stories, held_out_stories = world.stories(2000, "to learn from"), world.stories(250, "held out")
for story in stories[:2]:
    print(" ".join(story))

tokenizer = BertTokenizer([*SPECIAL_TOKENS, *world.words])  # each word of the valley is one token
V = len(tokenizer)
floor = Floor(world)  # what who knows the grammar can say; explained below
S = floor.longest_instance


def instances(stories, times):
    """Pairs of passages with hidden words, as in chapter 12; each story cut up so many times."""
    documents = [[tokenizer.tokenize(sentence) for sentence in story] for story in stories]
    return create_pretraining_instances(
        documents, tokenizer, max_seq_length=S, dupe_factor=times, short_seq_prob=0, masked_lm_prob=0.15,
        max_predictions_per_seq=20, whole_word=False, rng=random.Random(14),
    )  # fmt: skip


training = instances(stories, 3)
held_out = [all_masked(record, "[MASK]") for record in instances(held_out_stories, 1)]
print("\n" + " ".join(held_out[0].tokens))
print("hidden:", ", ".join(held_out[0].masked_lm_labels), "  follows:", not held_out[0].is_random_next)
print(f"{V} words, {len(training)} pairs to learn from, {len(held_out)} held out, at most {S} tokens")
assert V == 83

# %% [markdown]
# In the held-out pairs every chosen word is hidden by `[MASK]`; there is no 80/10/10, so that it is clear what can be
# known and what can't. They are from stories that are never learned from.
#
# ## The formula: three numbers to know before you start
#
# The loss is that of chapter 12, $L = L_{\text{words}} + L_{\text{next}}$ (12.7). What can we say of it before any
# training?
#
# **Who knows nothing** finds all $V$ words equally likely: $L_{\text{words}} = \ln V$, and $L_{\text{next}} = \ln 2$
# (chapter 05). There it begins.
#
# **Who knows how frequent the words are**, and no more, says the same of each gap: one in seven is *the*, one in a
# hundred is *wolf*, and so on. Let $f_v$ be the share of word $v$ among the hidden ones. If the network gives the
# shares $p_v$, the same for each place, its mean loss is $-\sum_v f_v \ln p_v$, and that is least, we shall show it,
# for $p = f$:
#
# $$ H(f) = -\sum_v f_v \ln f_v \tag{14.1} $$
#
# This is called the *entropy* of $f$. A network that doesn't look at the sentence can't get below it. (Its unit, and
# that of every loss with natural logarithms, is the *nat*.)
#
# **Who knows all that can be known** looks at everything that is left of the pair, and still can't be certain: *glad*
# and *merry* are said with equal chances. How probable is word $w$ in a gap? What is known of one thing, given another,
# is $p(A \mid B) = p(A \text{ and } B) / p(B)$: of all cases in which we see what we see, the part in which $w$ is
# there.
#
# $$ p(w \mid \text{all else}) = \frac{p(\text{the pair, with } w \text{ there})}{p(\text{the pair, with its gaps})}
#    \tag{14.2} $$
#
# The grammar makes both numbers computable: add up over all that may be behind the gaps. The mean of $-\ln p(\text{true
# word} \mid \text{all else})$ is **the floor**. No network can be below it, except by luck in a small sample.

# %%
show(unigram_entropy, Floor.surprises)

hidden_words = [word for record in held_out for word in record.masked_lm_labels]
surprises = np.array([surprise for record in held_out for surprise in floor.surprises(record)])
frequencies, best = unigram_entropy(hidden_words), float(surprises.mean())
share = {word: hidden_words.count(word) / len(hidden_words) for word in ("the", "wolf")}
print("frequencies of hidden words:", {word: round(value, 3) for word, value in share.items()})
print(f"knows nothing:        ln {V} = {np.log(V):.2f} nats for each of {len(hidden_words)} hidden words")
print(f"knows the frequencies: {frequencies:.2f}")
print(f"knows all:             {best:.2f}")
assert best < 0.5 < 3 < frequencies < np.log(V) and len(hidden_words) > 1000
assert abs(share["the"] - 1 / 7) < 0.02 and abs(share["wolf"] - 0.01) < 0.003

# %% [markdown]
# One often reads of *perplexity* instead. It is $e^L$: the number of equally likely words that would be just as hard to
# choose from. Here from 83 by way of 34 to 1.4.

# %%
perplexities = np.exp([np.log(V), frequencies, best])
print("perplexities:", perplexities.round(1))
assert np.allclose(perplexities, [83, 34, 1.4], rtol=0.03)

# %% [markdown]
# ## By hand
#
# **Frequencies.** Four hidden words: *the, the, frog, sun*. $f = (\frac12, \frac14, \frac14)$, and $H(f) = \frac12 \ln
# 2 + 2 \cdot \frac14 \ln 4 = \frac32 \ln 2 = 1.04$. Guessing costs $\ln 3 = 1.10$.

# %%
assert np.isclose(unigram_entropy("the the frog sun".split()), 1.5 * np.log(2))

# %% [markdown]
# **A floor.** A world with two sentences: "The sun came. Mira laughs." In it there are two weathers. With *sun* she
# laughs in three of four stories, else she cries; with *rain* it is the other way round. Here is a pair; what is
# behind the gap?
#
#     [CLS] the sun came . [SEP] mira [MASK] . [SEP]
#
# If the second passage follows, $p(\text{laughs}) = \frac34$. But perhaps it is from another story, and says nothing
# of this one's weather: then $\frac12$. How often is it so? In one half of the cases the true second sentence is put
# there. In the other half another story, from a sentence chosen by chance: from its second in half of *these*, and
# only then the pair looks as it does here. So follows and doesn't follow are as $\frac12 : \frac14$, or 2 to 1, and
#
# $$ p(\text{laughs}) = \tfrac23 \cdot \tfrac34 + \tfrac13 \cdot \tfrac12 = \tfrac23, \qquad
#    \text{the surprise is } \ln \tfrac32 = 0.41 $$

# %%
small = World(
    hidden={"weather": ("sun", "rain")},
    slots={
        "sun": Slot("weather", {"sun": ["sun"], "rain": ["rain"]}),
        "laughs": Slot("weather", {"sun": ["laughs"] * 3 + ["cries"], "rain": ["cries"] * 3 + ["laughs"]}),
    },
    patterns=[["the {sun} came."], ["Mira {laughs}."]],
)  # fmt: skip
pair = PretrainingInstance("[CLS] the sun came . [SEP] mira [MASK] . [SEP]".split(), None, [7], ["laughs"], False)
show(p=np.array(list(Floor(small).posterior(pair, 7).values())), follows=Floor(small).follows(pair))
assert np.allclose(list(Floor(small).posterior(pair, 7).values()), [1 / 3, 2 / 3])  # cries, laughs
assert np.isclose(Floor(small).surprises(pair)[0], np.log(3 / 2)) and np.isclose(Floor(small).follows(pair), 2 / 3)

# %% [markdown]
# ## The backward, step by step: why frequencies are learnt first
#
# The scores of the words are $\text{logits} = t E^{\mathsf T} + c$ (12.2), with an offset $c_v$ for each word that all
# $N$ hidden places share. By (5.6), $d\text{logits}_{iv} = \frac1N (p_{iv} - [v \text{ is right at } i])$, where the
# bracket is 1 if it is so, and else 0. What is shared collects a sum (chapter 03):
#
# $$ dc_v = \sum_i d\text{logits}_{iv} = \frac1N \sum_i p_{iv} - \frac1N \sum_i [v \text{ is right at } i]
#    = \bar p_v - f_v \tag{a} $$
#
# The offset's gradient is the mean share that the network gives to the word minus the share that the word has. It
# vanishes when the network gives each word, on the whole, as much as it has. That takes no understanding of anything,
# 83 numbers suffice, and *all* hidden places pull in the same direction. So it is learnt first.
#
# And is $p = f$ the best that can be said without looking? For any shares $p$, since $\ln x \le x - 1$ (the logarithm
# lies below its tangent at 1):
#
# $$ -\sum_v f_v \ln p_v - H(f) = -\sum_v f_v \ln \frac{p_v}{f_v} \ge -\sum_v f_v \Big( \frac{p_v}{f_v} - 1 \Big)
#    = 1 - \sum_v p_v \ge 0 \tag{b} $$
#
# (Sums over the words with $f_v > 0$.) So nothing is below $H(f)$, and $p = f$ reaches it.
#
# By hand, with *the, the, frog, sun* and equal shares: $dc = (\frac13 - \frac12, \frac13 - \frac14, \frac13 -
# \frac14) = (-\frac16, \frac1{12}, \frac1{12})$.

# %%
words = np.array([0, 0, 1, 2])
loss, log_p = cross_entropy(np.zeros((4, 3)), words)
dc = cross_entropy_backward(1.0, log_p, words).sum(axis=0)
show(dc=dc)
assert np.isclose(loss, np.log(3)) and np.allclose(dc, [-1 / 6, 1 / 12, 1 / 12])

# %% [markdown]
# ## Checked
#
# Equation (a) against slopes of the forward; then in a BERT, at its first batch of 16 pairs. (Its first loss is a
# little above $\ln V + \ln 2$: the scores of a new network are small, but not quite equal.)


# %%
def offsets_only(c):
    return cross_entropy(np.tile(c, (4, 1)), words)[0]


def offsets_only_backward(dy, c):
    return {"c": dy * (softmax(c) - np.array([1 / 2, 1 / 4, 1 / 4]))}


report = check(offsets_only, offsets_only_backward, {"c": np.random.RandomState(14).randn(3)})
print("dc = p - f:", "ok" if report.ok else report.sentence)
assert report.ok

config = BertConfig(
    vocab_size=V, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
    max_position_embeddings=S, initializer_range=0.05, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
train_set = PretrainingInstances.from_records(training, tokenizer)
held_out_set = PretrainingInstances.from_records(held_out, tokenizer)
batch = train_set.batch(np.arange(16))
print("a batch:", {name: values.shape for name, values in batch.items()})

untrained = BertForPreTraining(config, seed=0, dtype=np.float64)
out = untrained(**batch)
untrained.backward()
asked = batch["labels"] != -100
right = batch["labels"][asked]
log_p = log_softmax(np.array(out.prediction_logits)[asked])  # (N, V)
f = np.bincount(right, minlength=V) / len(right)
difference = untrained.cls.predictions.bias.grad - (np.exp(log_p).mean(axis=0) - f)
print(f"first loss {float(out.loss):.3f}; ln V + ln 2 = {np.log(2 * V):.3f}")
print(f"(a) is missed by {abs(difference).max():.0e}")
assert abs(float(out.loss) - np.log(2 * V)) < 0.25 and abs(difference).max() < 1e-15

# %% [markdown]
# ## One batch first
#
# Before a training that takes days, one that takes two seconds: learn *one* batch by heart. A network of this size can
# do that, so the loss must go to 0. If it doesn't, something is wrong, and it is found in seconds: a gradient, a mask,
# a label in the wrong place. (It is no proof: some mistakes pass this test. We shall meet two.)


# %%
def learn(model, batches, rate, warmup=0, each=lambda model: None):
    """Forward, backward, clip, step for each batch; the losses of the words, and of both tasks."""
    optimizer, losses = AdamW(model.train(), betas=(0.9, 0.98)), []
    for step, batch in enumerate(batches):
        out = model(**batch)
        model.backward()
        scale, _ = clip_grad_norm(model, 1.0)
        optimizer.lr = rate * schedules.constant(step, warmup)
        optimizer.step(scale)
        optimizer.zero_grad()
        losses.append((float(out.parts["labels"].loss), float(out.loss)))
        each(model)
    model.eval()
    return np.array(losses)


losses = learn(BertForPreTraining(config, seed=0), [batch] * 100, 0.003, warmup=10)[:, 1]
print("one batch:", ", ".join(f"{losses[step]:.4f} (step {step})" for step in (0, 10, 30, 99)))
assert losses[-1] < 0.01

# %% [markdown]
# ## The training
#
# The library's `Trainer` does what `learn` does, and more: it goes through all pairs in a new order each time, holds a
# warm-up and a fall of the rate (13.5), measures the held-out pairs now and then, keeps a log and writes checkpoints.


# %%
def trainer(model, folder, steps, **more):
    rate = 0.004
    return Trainer(
        model, train_set, held_out_set, steps=steps, batch_size=32, lr=rate, seed=0, output=folder,
        optimizer=AdamW(model, rate, betas=(0.9, 0.98)), warmup=0.1, log_every=20, **more,
    )  # fmt: skip


model = BertForPreTraining(config, seed=0)
before = evaluate_pretraining(model, held_out_set)
with tempfile.TemporaryDirectory() as folder:
    record = trainer(model, folder, STEPS, evaluate_every=STEPS // 10, checkpoint_every=0).train()
    log = read_log(Path(folder) / "metrics.jsonl")
lines = [line for line in log if "lr" in line]  # the others are of the held-out pairs
history = [{"step": 0, **before}] + [{"step": e["step"], **e["held_out"]} for e in record["history"]]
for entry in history:
    print(f"step {entry['step']:4}: words {entry['masked_lm_loss']:.2f}, right {entry['masked_lm_accuracy']:4.0%};"
          f" next sentence right {entry['next_sentence_accuracy']:.0%}")  # fmt: skip
after = evaluate_pretraining(model, held_out_set)  # as it was at the best of these steps: that is what stays
closed = (frequencies - after["masked_lm_loss"]) / (frequencies - best)
print(f"from the frequencies ({frequencies:.2f}) to the floor ({best:.2f}) it has come {closed:.0%} of the way")

random_next = np.array([record.is_random_next for record in held_out])
follows = np.array([floor.follows(record) for record in held_out])
best_next = float(((follows < 0.5) == random_next).mean())
print(f"next sentence: guessing {max(random_next.mean(), 1 - random_next.mean()):.0%}, at best {best_next:.0%}")
assert abs(before["masked_lm_loss"] - np.log(V)) < 0.25
assert best < after["masked_lm_loss"] and closed > 0.7
assert random_next.mean() + 0.1 < after["next_sentence_accuracy"] <= best_next + 0.03

# %% [markdown]
# How are losses put together that were measured over several batches? Each is a mean over the hidden words of its
# batch, and batches have unequally many, $N_b$. So
#
# $$ L = \frac{\sum_b N_b L_b}{\sum_b N_b} \tag{14.3} $$
#
# and *not* the mean of the $L_b$. The same rule weighs the pieces of a batch that is cut up because it doesn't fit into
# the memory: then the step is that of the whole batch.

# %%
show(RunningMeans.add)
means = RunningMeans()
means.add({"labels": (3.0, 1, 0)})  # a batch with one hidden word
means.add({"labels": (1.0, 3, 3)})  # and one with three
assert means.means()["masked_lm_loss"] == 1.5  # (3 + 3 · 1) / 4, and not (3 + 1) / 2

# %% [markdown]
# ## The picture
#
# Left: the loss begins at $\ln V$ and is at the level of the frequencies within 50 steps. Then it is no longer to be
# had for nothing; the curve bends, and the network begins to use what stands around the gap. It goes on towards the
# floor, ever more slowly. On held-out pairs it is as good as on those it learns from: it has learnt the language and
# not the stories. Right: the learning rate rises in the warm-up and then falls to 0. The gradient is nearly always
# longer than 1 here, and is shortened to that (13.4).

# %%
steps = [line["step"] for line in lines]
assert np.mean([line["gradient_norm"] > 1 for line in lines]) > 0.7
assert history[1]["masked_lm_loss"] < frequencies and abs(lines[-1]["masked_lm_loss"] - after["masked_lm_loss"]) < 0.2
draw(
    plotting.curves,
    "ch14_curve.png",
    panels=[
        {
            "title": "loss of the hidden words",
            "series": {
                "training": (steps, [line["masked_lm_loss"] for line in lines]),
                "held out": ([e["step"] for e in history], [e["masked_lm_loss"] for e in history]),
            },
            "levels": {f"frequencies {frequencies:.2f}": frequencies, f"floor {best:.2f}": best},
            "xlabel": "step",
            "ylabel": "loss (nats per word)",
            "ylim": (0, 5.2),
        },
        {
            "title": "how it walks",
            "series": {
                "learning rate (times 100)": (steps, [100 * line["lr"] for line in lines]),
                "length of the gradient": (steps, [line["gradient_norm"] for line in lines]),
            },
            "levels": {"is shortened to this": 1.0},
            "xlabel": "step",
            "ylabel": "number",
            "ylim": (0, None),
        },
    ],
    height=3.2,
)

# %% [markdown]
# ## What has it learnt?
#
# It fills gaps. Nobody ever told it that there is such a thing as a mood, or a voice. Beside the three likeliest words:
# the share that it gives to all words of the right *kind*, and to those of them that are right *here*.

# %%
GLAD, SAD = {"happy", "glad", "cheerful", "merry"}, {"sad", "gloomy", "unhappy", "miserable"}
ANIMALS, VOICES = {"dog", "frog", "lamb", "wolf"}, {"barked", "croaked", "bleated", "howled"}
GAPS = {
    "The rain fell and she felt [MASK].": (GLAD | SAD, SAD),
    "The sun shone and he felt [MASK].": (GLAD | SAD, GLAD),
    "The [MASK] was glad in the sun.": (ANIMALS, ANIMALS),
    "The wolf [MASK] in the forest.": (VOICES, {"howled"}),
}


def share_of(guesses, words):
    return sum(guess["score"] for guess in guesses if guess["token_str"] in words)


new = FillMask(BertForPreTraining(config, seed=0), tokenizer)(list(GAPS), top_k=V)
learnt = FillMask(model, tokenizer)(list(GAPS), top_k=V)
for (text, (kind, right)), was, now in zip(GAPS.items(), new, learnt, strict=True):
    guesses = ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in now[:3])
    print(f"{text:35} {guesses:36} kind: {share_of(was, kind):3.0%} before, {share_of(now, kind):4.0%} after;"
          f" right: {share_of(now, right):.0%}")  # fmt: skip
    assert share_of(was, kind) < 0.25 and share_of(now, kind) > 0.7
    assert not FULL or share_of(now, right) > 0.5  # more than for all others together

# %% [markdown]
# The kinds it knows. Which mood goes with which weather, and which voice with which animal, it learns later, and each
# all of a sudden. When is chance: with the seed 0 of this chapter it knew the moods after 550 steps and not the voices,
# with 1 the voices and not the moods, with 2 neither. With `--full` it knows both: the right words get more than all
# others together, and of the four the wolf's voice is the least sure. It has to wait for what is rare:

# %%
told = [set(sentence.rstrip(".").split()) for story in stories for sentence in story]
with_mood, with_howl = (np.mean([bool(words & sentence) for sentence in told]) for words in (GLAD | SAD, {"howled"}))
print(f"sentences with a mood: {with_mood:.0%}; with the wolf's voice: {with_howl:.1%}")
assert with_mood > 0.25 and with_howl < 0.03

# %% [markdown]
# **From where does it know?** Take something away from it and see what gets worse. Words of different kinds are told by
# different things: the small words by the grammar, the *animal* by a sentence that may be far away. We measure the loss
# by kind of word: with everything in view; without the other passage; with two neighbours on each side; and with the
# word's own place alone. (A mask $(B, S, S)$ says who may look at whom: chapter 09.)

# %%
kind_of = dict.fromkeys(world.words, "grammar")
for slot in world.slots.values():
    for values in slot.words.values():
        kind_of.update({word.lower(): slot.variable or "free choice" for word in values})
KINDS = ["grammar", "person", "place", "animal", "weather", "free choice"]

everything = held_out_set.batch(np.arange(len(held_out)))
ids, labels = everything["input_ids"], everything["labels"]
B, S_held = ids.shape
distance = np.abs(np.arange(S_held)[:, None] - np.arange(S_held))
real = (everything["attention_mask"] == 1)[:, None, :]
same_passage = everything["token_type_ids"][:, :, None] == everything["token_type_ids"][:, None, :]
VIEWS = {
    "all": real & np.ones((B, S_held, S_held), bool),
    "own passage": real & same_passage,
    "2 neighbours": real & (distance <= 2),
    "only itself": np.broadcast_to(distance == 0, (B, S_held, S_held)),
}
asked = labels != -100
kinds = np.array([kind_of[tokenizer.convert_ids_to_tokens(int(word))] for word in labels[asked]])
by_kind = {"floor": [surprises[kinds == kind].mean() for kind in KINDS]}
mean_of = {"floor": best}
for name, view in VIEWS.items():
    with inference():
        logits = np.array(
            model(ids, attention_mask=view.astype(int), token_type_ids=everything["token_type_ids"]).prediction_logits
        )[asked]
    loss_of_each = -log_softmax(logits)[np.arange(len(logits)), labels[asked]]
    by_kind[name] = [loss_of_each[kinds == kind].mean() for kind in KINDS]
    mean_of[name] = float(loss_of_each.mean())
print({name: round(loss, 2) for name, loss in mean_of.items()})
table = np.array(list(by_kind.values())).T  # a row for each kind
draw(
    plotting.matrices,
    "ch14_kinds.png",
    panels=[
        {
            "title": "loss of the hidden words, by kind and by what BERT may look at",
            "values": table,
            "rows": [f"{kind} ({(kinds == kind).sum()})" for kind in KINDS],
            "columns": ["floor", *VIEWS],
        }
    ],
    shares=True,
    limit=6.0,
    height=2.8,
    unit="nats per word",
)
assert abs(mean_of["all"] - after["masked_lm_loss"]) < 1e-4
assert mean_of["all"] + 0.01 < mean_of["own passage"] < mean_of["2 neighbours"] < mean_of["only itself"]
of = {kind: dict(zip(by_kind, row, strict=True)) for kind, row in zip(KINDS, table, strict=True)}
assert of["grammar"]["2 neighbours"] + 0.3 < of["animal"]["2 neighbours"]

# %% [markdown]
# Read the table by columns. With everything in view the words of the grammar are at their floor; what is missing is in
# the weather with its moods, and the animals with their sounds. Without the other passage nearly all suffer but the
# free choices. Who is *he*? What is the weather? And the grammar: is this a story's first sentence, or its last? With
# two neighbours much more is lost. And alone with its own place it is *worse* than the frequencies, $3.5$, which need
# no looking: it has never been blind, and where it must guess it is certain, and wrong (as in chapter 12).

# %%
lost = {kind: of[kind]["own passage"] - of[kind]["all"] for kind in KINDS}
print("lost without the other passage:", {kind: round(float(loss), 2) for kind, loss in lost.items()})
assert sum(lost[kind] > 0.01 for kind in KINDS[:-1]) >= 3 and lost["free choice"] < 0.3
assert of["grammar"]["all"] < 0.1 and mean_of["only itself"] > frequencies
assert FULL or sum(of[kind]["all"] - of[kind]["floor"] for kind in ("weather", "animal")) > 0.3

# %% [markdown]
# ## Diagnose four spoilt trainings
#
# Here are four trainings of 80 steps, each spoilt in one way. First look at the picture that this cell draws, left the
# loss on what is learned from, right on held-out pairs, and think: this is **exercise 14.1**. Six ways to spoil it are
# on offer, of which four were used:
#
# 1. the words aren't hidden: the input has the right word where `[MASK]` should stand;
# 2. the learning rate is far too high, and there is no warm-up;
# 3. the learning rate is a thousand times too low;
# 4. always the same 16 pairs are learned;
# 5. the labels of a batch have slipped by one pair;
# 6. nobody may look at others: the attention mask has ones on its diagonal only.

# %%
SPOILT = 80
order = np.random.RandomState(14).permutation(len(training))


def batches_of(rows=order):
    for step in range(SPOILT):
        yield train_set.batch(rows[16 * step % len(rows) :][:16])


def not_hidden(batch):
    return {**batch, "input_ids": np.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])}


RUNS = {
    "A": (batches_of(), 0.05, 0),
    "B": ((not_hidden(batch) for batch in batches_of()), 0.004, 10),
    "C": (batches_of(), 4e-6, 10),
    "D": (batches_of(order[:16]), 0.004, 10),
}
spoilt, curves, checks = {}, {}, {}
quick_set = PretrainingInstances.from_records(held_out[:40], tokenizer)
for name, (batches, rate, warmup) in RUNS.items():
    spoilt[name], measured = BertForPreTraining(config, seed=0), []

    def look(model, measured=measured):
        if model.dropout_streams.step % 13 == 1:
            model.eval()
            measured.append((model.dropout_streams.step, evaluate_pretraining(model, quick_set)["masked_lm_loss"]))
            model.train()

    curves[name] = learn(spoilt[name], batches, rate, warmup, look)[:, 0]
    checks[name] = np.array(measured).T
every = np.arange(1, SPOILT + 1)
levels = {f"frequencies {frequencies:.2f}": frequencies, f"floor {best:.2f}": best}
draw(
    plotting.curves,
    "ch14_spoilt.png",
    panels=[
        {"title": "training", "series": {name: (every, curve) for name, curve in curves.items()}, "levels": levels,
         "xlabel": "step", "ylabel": "loss of the words (nats)", "ylim": (0, 8)},
        {"title": "held out", "series": {name: tuple(points) for name, points in checks.items()}, "levels": levels,
         "xlabel": "step", "ylabel": "loss of the words (nats)", "ylim": (0, 8), "markers": True},
    ],
    height=3.4,
)  # fmt: skip

# %% [markdown]
# Which is which? Let us go through what the picture tells, and prove each by one measurement.
#
# **A comes down to the frequencies from above, and stays.** It has learnt the offsets, and nothing that depends on the
# sentence: just what (a) and (b) say. That can be the rate (2), the slipped labels (5) or the mask (6); the wild
# beginning points to the rate. Measure: do the shares that it gives differ from one gap to another? Hardly. That is
# the network stuck in its output, as in chapter 13.


# %%
def shares_at_gaps(model, input_ids=ids):
    with inference():
        out = model(input_ids, attention_mask=real[:, 0].astype(int), token_type_ids=everything["token_type_ids"])
        return softmax(np.array(out.prediction_logits)[asked])  # (gaps, V)


differ = {name: shares_at_gaps(spoilt[name]).std(axis=0).sum() for name in "AB"}
differ["healthy"] = shares_at_gaps(model).std(axis=0).sum()
print("shares differ from gap to gap by", {name: round(float(value), 3) for name, value in differ.items()})
assert differ["A"] < 0.3 * differ["healthy"]

# %% [markdown]
# **B and D fall below the floor.** Nobody can, so something is known that ought not to be: the words themselves (1), or
# the stories (4). On held-out pairs both get worse and worse. The curves don't tell them apart. One measurement does:
# show both a *new* pair in which nothing is hidden. Who has learnt to copy copies that, too; who has learnt 16 pairs by
# heart knows nothing.

# %%
answers = labels[asked]
copies = {}
for name in "BD":
    p = shares_at_gaps(spoilt[name], np.where(asked, labels, ids))
    copies[name] = float(-np.log(p[np.arange(len(p)), answers]).mean())
print("loss on new pairs with nothing hidden:", {name: round(loss, 2) for name, loss in copies.items()})
assert curves["B"][-1] < best and curves["D"][-1] < best and copies["B"] < best < 3 < copies["D"]

# %% [markdown]
# **C goes the right way, but hardly moves** (3). Measure how far the weights have gone, compared with their size. After
# 80 steps it ought to be a good part of it.

# %%
fresh = BertForPreTraining(config, seed=0).buffer.data
moved = {name: float(np.linalg.norm(spoilt[name].buffer.data - fresh) / np.linalg.norm(fresh)) for name in "CD"}
print("weights have moved by", {name: f"{share:.1%}" for name, share in moved.items()})
assert moved["C"] < 0.02 < 0.1 < moved["D"] and abs(curves["C"][-20:].mean() - curves["C"][:20].mean()) < 0.1

# %% [markdown]
# And which of them would "one batch first" have found?

# %%
one_batch = {name: learn(BertForPreTraining(config, seed=0), [batch] * 60, *RUNS[name][1:])[-1, 0] for name in "AC"}
print("one batch, 60 steps:", {name: round(float(loss), 2) for name, loss in one_batch.items()})
assert min(one_batch.values()) > 1

# %% [markdown]
# A and C: their settings can't learn even one batch. Not B and D, which do it only too well. So besides one batch one
# looks at *new* text, early and often.
#
# ## Stopping and going on
#
# A training that takes weeks is interrupted sooner or later. It should go on as if nothing had been: not nearly, but
# with the same bits, or else one will never know whether a difference is due to a change or to the interruption.
# What must be kept for that?
#
# * the weights, and Adam's $m$ and $v$, and how many steps there were (for (13.2) and the learning rate);
# * the place in the order of the pairs; and the place in each stream of random numbers, as for dropout.
#
# We train for 12 steps; then once more, with a power failure in step 7. A checkpoint is written every 4 steps.


# %%
class PowerFailure(Callback):
    def step_end(self, trainer):
        if trainer.step == 7:
            raise OSError("the lights went out")


wobbly = config.copy(hidden_dropout_prob=0.1)  # with dropout, to make it harder
train_set_12 = {"steps": 12, "evaluate_every": 12, "checkpoint_every": 4}
with tempfile.TemporaryDirectory() as folder:
    straight = BertForPreTraining(wobbly, seed=0)
    trainer(straight, Path(folder) / "straight", **train_set_12).train()
    broken = BertForPreTraining(wobbly, seed=0)
    try:
        trainer(broken, Path(folder) / "broken", **train_set_12, callbacks=[PowerFailure()]).train()
    except OSError as error:
        print(f"interrupted: {error}")
    resumed = BertForPreTraining(wobbly, seed=99)  # another network: everything comes from the checkpoint
    again = trainer(resumed, Path(folder) / "broken", **train_set_12)
    again.train(resume=True)
    print("left behind:", sorted(path.name for path in (Path(folder) / "broken" / "checkpoints").iterdir()))
same = np.array_equal(straight.buffer.data, resumed.buffer.data)
print(f"all {straight.num_parameters():,} weights are the same, bit for bit: {same}")
assert same and not np.array_equal(straight.buffer.data, broken.buffer.data)

# %% [markdown]
# ## What others do
#
# * **The paper** (Devlin et al. 2019, appendix A.2): a million steps of 256 pairs, of 128 tokens in nine steps of ten
#   and 512 in the last, which is 40 times through 3.3 billion words; $\beta_2 = 0.999$, a rate of $10^{-4}$, 10,000
#   steps of warm-up, dropout 0.1. Four days on 16 TPU chips. Here $\beta_2 = 0.98$, as RoBERTa has it: after 550 steps
#   a memory of 1000 would be full of the first ones.
# * **Google's code** writes the pairs into files once, in ten versions. It measures the held-out loss by (14.3).
#   **RoBERTa** hides anew each time, and found BERT *much* under-trained.
# * **transformers** has no script any more that trains both tasks; where a batch is cut into pieces, its `Trainer`
#   has taken BERT's loss by the mean of means, or by the sum, from version to version, in place of (14.3).
# * A perplexity of masked words can't be compared with that of a model that reads from left to right: it is asked for
#   other words, knowing other things.
#
# ## Common mistakes
#
# * **No number to compare with.** "The loss is 2.1" says nothing; "from 3.5 to at best 0.3 it has come to 2.1" does.
#   For real text there is no floor, but there are $\ln V$, the frequencies, and the results of others.
# * **The mean of means** in place of (14.3). How wrong can it be?


# %%
class MeanOfMeans(RunningMeans):
    def add(self, parts):
        super().add({name: (loss, 1, correct) for name, (loss, _, correct) in parts.items()})


rng = np.random.RandomState(14)
counts = rng.randint(1, 9, 200)
batch_losses = 0.5 + 2.0 / counts  # few hidden words: a short text, and hard to tell
right, wrong = RunningMeans(), MeanOfMeans()
for count, one in zip(counts, batch_losses, strict=True):
    for means in (right, wrong):
        means.add({"labels": (float(one), int(count), 0)})
print(f"by (14.3) {right.loss():.2f}, mean of means {wrong.loss():.2f}")
assert np.isclose(right.loss(), (counts * batch_losses).sum() / counts.sum()) and wrong.loss() > right.loss() + 0.2

# %% [markdown]
# * **Measuring on what was learned from.** D looks like a triumph there. Keep whole *documents* back, not lines of
#   them: the two passages of a pair, or two versions of it, would end up on both sides.
# * **Trusting the curve alone.** A wrong factor in front of the loss changes nothing in Adam (chapter 13) and is seen
#   in no curve; a gradient check sees it.
# * **Dropout left on while measuring**, or off while training: the training loss is then not to be compared with the
#   held-out one.
# * **Hiding words once** and going through the same pairs a hundred times: D, only slower.
#
# ## Exercises
#
# **14.1** Diagnose the four spoilt trainings from the picture alone, before you read on there. What would you measure
# to be certain?
#
# **14.2** In the world of two sentences: what is behind the gap in "[CLS] the [MASK] came . [SEP] mira laughs . [SEP]",
# and how probable is it that the second passage follows? By hand, then with `Floor`.
#
# **14.3** Spoil it in the two ways that were not used, (5) and (6). Say first at which level each will halt, and what
# "one batch first" will say to it.
#
# **14.4** Leave the next-sentence task out (`BertForMaskedLM`). Do the words get better, or worse? Of which kind?
#
# **14.5** What does the `Trainer` say if you resume with another learning rate? Which of the settings could be changed
# without losing the bits, and which can't?
#
# **14.6** A batch is too large for the memory, so it goes through in parts, and the loss of each part is the mean
# over its own labels. Put the gradient of the whole together from theirs. (`bertnp learn check 14.6`)
