# %% [markdown]
# # 13 · Adam, AdamW, warm-up: what is done with a gradient, and why training begins slowly
#
# Needs: chapters 02, 05, 08, 11 and 12. Runtime: 8 seconds.
#
# **What you will understand.** What the optimiser that trains BERT does with each gradient, number by number; why its
# averages must be corrected in the beginning, and by how much its steps are too long where they aren't; what the W in
# AdamW changes; what clipping does and doesn't; and why the learning rate rises from zero before it falls: a network of
# eight layers will, without that, not learn at all.

# %%
import numpy as np

from bertnp import AdamW, BertConfig, BertForMaskedLM, clip_grad_norm, inference, plotting
from bertnp.functional import adamw, clip_scale, softmax
from bertnp.gradcheck import check_formula
from bertnp.learn import draw, show
from bertnp.optim import schedules
from bertnp.optim.schedules import google, linear, warmed_up

# %% [markdown]
# ## The idea
#
# Up to here we have computed slopes: for each of the model's numbers $\theta$, how fast the loss rises with it. To
# train is to take a small step downhill, over and over. The plainest rule is
# $\theta \leftarrow \theta - \mathrm{lr} \cdot g$, with $g$ the gradient and lr the *learning rate*. It has two faults.
#
# * **One batch is not the text.** Its gradient is the true one plus a lot of chance. Better to go by a mean of the last
#   few.
# * **Sizes differ.** In one tensor of BERT gradients are hundreds of times as large as in another (we shall measure
#   it). A rate that is right for one is wrong for the other.
#
# **Adam** keeps two running means for each number: of its gradients, $m$, and of their squares, $v$. It walks by $m /
# \sqrt v$: the mean gradient, measured by its own usual size. So each number moves by about lr in a step, if its
# gradient always says the same; and by much less if the gradient's sign keeps changing.
#
# ## The formula
#
# $t$ counts the steps from 1; $m$ and $v$ begin at 0. With $\beta_1 = 0.9$ and $\beta_2 = 0.999$:
#
# $$ m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 \tag{13.1} $$
#
# $$ \hat m_t = \frac{m_t}{1 - \beta_1^t}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t} \tag{13.2} $$
#
# $$ \theta_t = \theta_{t-1} - \mathrm{lr} \left( \frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon}
#    + \lambda\, \theta_{t-1} \right) \tag{13.3} $$
#
# * $\varepsilon = 10^{-8}$ keeps us from dividing by 0.
# * $\lambda = 0.01$ is the **weight decay**: in each step, besides, every weight shrinks a little towards 0. A weight
#   has to be useful to remain large.
#
# All of it happens to each number by itself. There is no backward: nobody asks for the slope of a training step.

# %%
show(adamw)

# %% [markdown]
# ## Where the correction comes from, step by step
#
# Write (13.1) out. Each step multiplies what was there by $\beta_1$ and adds $(1-\beta_1) g$:
#
# $$ m_1 = (1-\beta_1)\, g_1, \qquad m_2 = (1-\beta_1)(\beta_1 g_1 + g_2), \qquad \dots, \qquad
#    m_t = (1 - \beta_1) \sum_{i=1}^t \beta_1^{t-i} g_i \tag{a} $$
#
# A sum with weights: the newest gradient has $1 - \beta_1$, each older one $\beta_1$ times as much as the next. For a
# *mean*, weights must add up to 1. What do these add up to? The sum $1 + \beta + \dots + \beta^{t-1}$ times $(1 -
# \beta)$ is $1 - \beta^t$, for all terms between cancel:
#
# $$ (1 - \beta_1) \sum_{i=1}^t \beta_1^{t-i} = 1 - \beta_1^t \tag{b} $$
#
# Less than 1, as $m$ began with a 0 that counts for $\beta_1^t$. Divided by that sum, the weights do add up to 1, and
# that is (13.2): $\hat m_t$ *is* a weighted mean of the gradients so far, $\hat v_t$ one of their squares. Later on
# $\beta^t$ is next to 0, and so is the difference.
#
# How long do they remember? An old gradient counts for $\beta_1^k$ after $k$ steps, about a third after
# $k = 1/(1-\beta_1)$: 10 steps for $m$, 1000 for $v$.

# %%
gradients = np.random.RandomState(13).randn(6)
weights = 0.1 * 0.9 ** np.arange(5, -1, -1)
m = v = np.zeros(1)
for step in range(1, 7):
    _, m, v = adamw(np.zeros(1), gradients[step - 1 : step], m, v, step, 1.0, (0.9, 0.999), 0.0, 0.0)
assert np.isclose(weights.sum(), 1 - 0.9**6) and np.allclose(m, weights @ gradients)

# %% [markdown]
# ## By hand
#
# One number, $\theta = 1$; $\beta_1 = \frac12$, lr $= 0.1$, and no decay at first. Three gradients, $5, 5, -5$. Their
# square is always 25, so any mean of squares is 25, and $\sqrt{\hat v} = 5$ whatever $\beta_2$ is.
#
# | $t$ | $g$ | $m$ | $1 - \beta_1^t$ | $\hat m$ | $\hat m / \sqrt{\hat v}$ | $\theta$ |
# |---|---|---|---|---|---|---|
# | 1 | $5$ | $\frac52$ | $\frac12$ | $5$ | $1$ | $0.9$ |
# | 2 | $5$ | $\frac{15}4$ | $\frac34$ | $5$ | $1$ | $0.8$ |
# | 3 | $-5$ | $-\frac58$ | $\frac78$ | $-\frac57$ | $-\frac17$ | $0.8 + \frac{0.1}7$ |
#
# Two steps of just lr; and then, as the gradient contradicts what it said before, a small one back.

# %%
theta, m, v, path = np.ones(1), np.zeros(1), np.zeros(1), []
for step, g in enumerate((5.0, 5.0, -5.0), start=1):
    theta, m, v = adamw(theta, np.array([g]), m, v, step, lr=0.1, betas=(0.5, 0.999), eps=0.0, weight_decay=0.0)
    path.append([m[0], theta[0]])
show(m_and_theta=np.array(path))
assert np.allclose(path, [[5 / 2, 0.9], [15 / 4, 0.8], [-5 / 8, 0.8 + 0.1 / 7]])

# %% [markdown]
# With decay $\lambda = \frac12$ the first step takes, besides, $0.1 \cdot \frac12 \cdot 1$:

# %%
one, zero = np.ones(1), np.zeros(1)
theta, _, _ = adamw(one, 5 * one, zero, zero, 1, lr=0.1, betas=(0.5, 0.999), eps=0.0, weight_decay=0.5)
show(theta=theta)
assert np.allclose(theta, 1 - 0.1 - 0.05)

# %% [markdown]
# ## Checked
#
# Written down once more as the formulas stand there, and compared with the library's on cases with decay, with
# clipping, with gradients of 0, with and without the correction:


# %%
def by_the_formulas(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True,
                    scale=1.0):  # fmt: skip
    g = scale * gradient
    m = betas[0] * mean + (1 - betas[0]) * g  # (13.1)
    v = betas[1] * variance + (1 - betas[1]) * g**2
    m_hat, v_hat = (m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)) if bias_correction else (m, v)  # (13.2)
    return parameter - lr * (m_hat / (np.sqrt(v_hat) + eps) + weight_decay * parameter), m, v  # (13.3)


report = check_formula("adamw", forward=by_the_formulas)
print(report)
assert report.ok

# %% [markdown]
# ## Clipping
#
# Now and then a batch has a gradient a hundred times as long as others, and one such step can undo a thousand. So its
# length is limited. All the model's gradients are seen as *one* long vector, and if it is longer than a limit $c$ (1 in
# BERT), it is shortened to that:
#
# $$ g \leftarrow s\, g, \qquad s = \min\Big(1, \frac{c}{\lVert g \rVert + \varepsilon}\Big), \qquad
#    \lVert g \rVert = \sqrt{\textstyle\sum g^2} \tag{13.4} $$
#
# One factor for all: the direction stays.

# %%
show(clip_scale)
g = np.array([3.0, 4.0])
scale, norm = clip_scale(g, 1.0, eps=0.0)
show(norm=norm, scale=scale, clipped=scale * g)
assert norm == 5 and np.allclose(scale * g, [0.6, 0.8]) and clip_scale(0.1 * g, 1.0, eps=0.0)[0] == 1

# %% [markdown]
# ## Warm-up and decay of the learning rate
#
# The learning rate is not constant. It rises evenly from 0 to its full size in the first $W$ steps, the **warm-up**,
# and then falls evenly to 0 at the last step $N$. In the step after $s$ steps have been done it is lr times
#
# $$ \frac sW \ \text{ for } s < W, \qquad \text{then } \frac{N - s}{N - W} \tag{13.5} $$
#
# Google's code takes $1 - \frac sN$ in the second part: the same line, except that it is not begun at 1 but where it
# would be without a warm-up, so that the rate falls by a little jump.

# %%
show(warmed_up, linear, google)
assert [linear(s, 100, 10) for s in (0, 5, 10, 55, 100)] == [0, 0.5, 1, 0.5, 0]
assert google(9, 100, 10) == 0.9 and google(10, 100, 10) == 0.9 and linear(10, 100, 10) == 1

# %% [markdown]
# The fall is easy to understand: near the end one wants to settle, and no longer be thrown about by chance. But why the
# rise? Look at the first steps of Adam.
#
# ## Four claims, tested
#
# **The first step is as long for everybody.** $\hat m_1 = g$ and $\hat v_1 = g^2$, so $\hat m / \sqrt{\hat v} = \pm 1$,
# whatever the size of $g$. Before anything is known of what is usual, each of 110 million numbers moves by the whole
# lr, in the direction that *one batch* gave. That the loss is linear on so long a way is not to be expected.

# %%
g = np.array([1000.0, 1.0, -0.001, 0.00001])
moved, _, _ = adamw(np.zeros(4), g, np.zeros(4), np.zeros(4), 1, 0.01, (0.9, 0.999), 0.0, 0.0)
show(g=g, moved=moved)
assert np.allclose(moved, -0.01 * np.sign(g))

# %% [markdown]
# **The size of the loss does not matter.** Multiply it by 1000, and $m$ and $\sqrt v$ both grow a thousandfold. (But
# for $\varepsilon$, which should be small beside all gradients, and for clipping, whose limit has a size of its own.)


# %%
def walk(factor, decay=0.0, steps=50):
    theta, m, v = np.ones(5), np.zeros(5), np.zeros(5)
    stream = np.random.RandomState(132)
    for step in range(1, steps + 1):
        theta, m, v = adamw(theta, factor * (theta + stream.randn(5)), m, v, step, 0.01, (0.9, 0.999), 0.0, decay)
    return theta


assert np.allclose(walk(1.0), walk(1000.0)) and not np.allclose(walk(1.0), np.ones(5))

# %% [markdown]
# **Without the correction, the first steps are too long.** BERT was trained without (13.2). Let the gradient always be
# the same, $g$. By (b), $m_t = (1 - \beta_1^t) g$ and $v_t = (1 - \beta_2^t) g^2$, so the step is lr times
#
# $$ \frac{1 - \beta_1^t}{\sqrt{1 - \beta_2^t}} \tag{c} $$
#
# $m$ has learnt the gradient after some ten steps, $v$ only after thousands; and as long as $v$ is too small, the step
# is too long: more than six times.

# %%
t = np.arange(1, 20001)
too_long = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
print(f"in the first step {too_long[0]:.2f} times lr, at most {too_long.max():.2f} (step {t[too_long.argmax()]}), "
      f"in step 1000 {too_long[999]:.2f}, in step 10000 {too_long[9999]:.4f}")  # fmt: skip
theta = m = v = zero
for step in range(1, 13):
    before = theta
    theta, m, v = adamw(theta, 7 * one, m, v, step, 1.0, (0.9, 0.999), 0.0, 0.0, bias_correction=False)
assert np.allclose(before - theta, too_long[11]) and too_long.argmax() == 11 and 6.5 < too_long.max() < 6.6
assert np.isclose(too_long[0], np.sqrt(10)) and too_long[9999] < 1.0001

# %% [markdown]
# BERT's warm-up lasts 10,000 steps: just as long as that factor needs to be gone.
#
# **AdamW is not Adam with a penalty.** The old way to keep weights small is to add $\frac\lambda2 \theta^2$ to the
# loss, and so $\lambda\theta$ to the gradient. For plain descent that is the same as (13.3). In Adam it isn't: what is
# added to the gradient is *divided by $\sqrt{\hat v}$* like the rest of it. So a number whose gradients are large
# shrinks less, and one with small ones more, which nobody wanted. AdamW leaves the decay out of $m$ and $v$: all shrink
# alike.
#
# Two numbers, whose gradients are $\pm 10$ and $\pm 0.1$ in turn, and so say nothing. After 1000 steps:

# %%
size = np.array([10.0, 0.1])


def after(decay, penalty, steps=1000):
    theta, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        g = size * (-1) ** step + penalty * theta
        theta, m, v = adamw(theta, g, m, v, step, 0.001, (0.9, 0.999), 1e-8, decay)
    return theta


with_w, with_penalty = after(decay=0.1, penalty=0.0), after(decay=0.0, penalty=0.1)
show(AdamW=with_w, penalty=with_penalty)
assert np.allclose(with_w, 0.9999**1000, atol=0.002)
assert with_penalty[0] > 0.98 and with_penalty[1] < 0.6

# %% [markdown]
# Biases and layer norms have no decay, here as in Google's code: there is no reason for a $\gamma$ to become 0. In the
# library's buffer of parameters those with decay stand first:

# %%
config = BertConfig(vocab_size=30, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20)
model = BertForMaskedLM(config)
shrinking = sum(p.size for name, p in model.named_parameters() if not name.endswith("bias") and "LayerNorm" not in name)
print(f"weight decay acts on {model.buffer.decayed} of {model.num_parameters()} numbers")
assert model.buffer.decayed == shrinking < model.num_parameters()

# %% [markdown]
# ## Does it need the warm-up?
#
# The small language of chapter 12 (the old … moos: a cow), and a BERT of eight layers, post-norm as always. It is
# trained twice, with the same seed, the same sentences and the same rate of 0.006: at full rate from the first step,
# and with a warm-up of 40 steps. The loop is that of every training: forward, backward, clip, step.

# %%
WORDS = ("[PAD] [CLS] [SEP] [MASK] the a old aged young little cow calf hen chick moos grazes clucks pecks "
         "loudly today again here").split()  # fmt: skip
ID = {word: number for number, word in enumerate(WORDS)}
ANIMALS = ["cow", "calf", "hen", "chick"]
LEFT, RIGHT = [["old", "aged"], ["young", "little"]], [["moos", "grazes"], ["clucks", "pecks"]]
S, PLACE, RATE, STEPS = 7, 3, 0.006, 120  # [CLS] the old [MASK] moos loudly [SEP]


def sentences(rng, B=16):
    """(B, S) ids with the animal hidden, and (B, S) labels: the animal at its place, else -100."""
    ids, labels = np.zeros((B, S), int), np.full((B, S), -100)
    for b, (age, kind) in enumerate(rng.randint(0, 2, (B, 2))):
        before, after = LEFT[age][rng.randint(2)], RIGHT[kind][rng.randint(2)]
        article, adverb = ("the", "a")[rng.randint(2)], ("loudly", "today", "again", "here")[rng.randint(4)]
        ids[b] = [ID[word] for word in ("[CLS]", article, before, "[MASK]", after, adverb, "[SEP]")]
        labels[b, PLACE] = ID[ANIMALS[2 * kind + age]]
    return ids, labels


deep = BertConfig(
    vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=8, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=S, initializer_range=0.1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip

model = BertForMaskedLM(deep, seed=0).train()
ids, labels = sentences(np.random.RandomState(0))
model(ids, labels=labels)
model.backward()
size_of = {
    name: float(np.sqrt((parameter.grad**2).mean()))
    for name, parameter in model.named_parameters()
    if not name.endswith("key.bias")  # chapter 09: exactly 0
}
for choose in (min, max):
    name = choose(size_of, key=size_of.get)
    print(f"size of the gradient {size_of[name]:.4f} in {name}")
assert max(size_of.values()) > 100 * min(size_of.values())


def train(warmup):
    model = BertForMaskedLM(deep, seed=0).train()
    optimizer, rng, losses = AdamW(model), np.random.RandomState(0), []
    for step in range(STEPS):
        ids, labels = sentences(rng)
        out = model(ids, labels=labels)
        model.backward()
        scale, _ = clip_grad_norm(model, 1.0)
        optimizer.lr = RATE * schedules.constant(step, warmup)
        optimizer.step(scale)
        optimizer.zero_grad()
        losses.append(float(out.loss))
    return model.eval(), np.array(losses)


(stuck, at_once), (learnt, warm) = train(warmup=0), train(warmup=40)
print(f"full rate at once: the loss ends at {at_once[-20:].mean():.2f}; one of four animals, guessed: {np.log(4):.2f}")
print(f"with a warm-up:    the loss ends at {warm[-20:].mean():.2f}")
assert at_once[-20:].mean() > 1.25 and warm[-20:].mean() < 0.2

# %% [markdown]
# Without the warm-up it learns which four words are animals, and nothing else in 120 steps. Its first ones
# have led it to a place where what stands in the sentence no longer reaches the output: it answers the same to all
# sentences. How far do the shares of the four animals differ from one sentence to another?

# %%
ids, _ = sentences(np.random.RandomState(1), B=50)
differ = {}
with inference():
    for name, model in (("full rate at once", stuck), ("with a warm-up", learnt)):
        shares = softmax(model(ids).logits[:, PLACE])[:, [ID[animal] for animal in ANIMALS]]
        differ[name] = float(np.ptp(shares, axis=0).max())
        print(f"{name:18} shares differ by up to {differ[name]:.4f}")
assert differ["full rate at once"] < 0.05 and differ["with a warm-up"] > 0.9

# %% [markdown]
# The same rate is excellent forty steps later. Why? Xiong et al. (2020) have calculated that in a new post-norm network
# the gradients of the upper layers are large, and that this fades when training has begun; in pre-norm it is not so,
# and those do without a warm-up. Adam's first steps add to it: they are of full length for every number, whatever one
# batch said of it. (With fewer layers or a lower rate one may do without; try exercise 13.4.)
#
# ## The picture
#
# Left: how much too long a step is without the correction, (c), and how BERT's warm-up hides it: where (c) is large,
# the rate is still small. Right: the two trainings.

# %%
factor = np.minimum(1, t / 10000)
draw(
    plotting.curves,
    "ch13_warm_up.png",
    panels=[
        {
            "title": "how long a step is, if g stays the same",
            "series": {
                "no correction": (t, too_long),
                "the same, warm-up 10,000": (t, too_long * factor),
            },
            "levels": {"Adam with correction": 1.0},
            "xlabel": "step",
            "ylabel": "times the learning rate",
            "log": "x",
            "ylim": (0, 9),
        },
        {
            "title": f"8 layers, learning rate {RATE}",
            "series": {
                "full rate at once": (np.arange(STEPS), at_once),
                "warm-up of 40 steps": (np.arange(STEPS), warm),
            },
            "levels": {"guessing: ln 4": np.log(4)},
            "xlabel": "step",
            "ylabel": "loss (nats)",
            "ylim": (0, 4),
        },
    ],
    height=3.2,
)
assert (too_long * factor).max() < 1.01  # with the warm-up, no step is ever longer than lr

# %% [markdown]
# ## What others do
#
# * **The papers**: Kingma & Ba 2015, algorithm 1, is (13.1) to (13.3) without the decay; Loshchilov & Hutter 2019,
#   algorithm 2, adds it.
# * **Google's BERT** leaves out (13.2), has $\varepsilon = 10^{-6}$, $\lambda = 0.01$, clips at 1, warms up over 10,000
#   of 1,000,000 steps to $10^{-4}$, and for fine-tuning over a tenth of the steps to some $3 \cdot 10^{-5}$. Here:
#   `AdamW(model, eps=1e-6, bias_correction=False)`.
# * **PyTorch's AdamW** has the correction and $\varepsilon = 10^{-8}$, added to $\sqrt{\hat v}$, and decays biases,
#   too, unless one makes two groups of parameters. `Adam(weight_decay=...)` there is the penalty, not this.
# * Schedules count differently: Google's rate in the very first step is 0, and so is ours; some have $1/W$.
#
# ## Common mistakes


# %%
def penalty_instead(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True,
                    scale=1.0):  # fmt: skip
    gradient = scale * gradient + weight_decay * parameter
    return adamw(parameter, gradient, mean, variance, step, lr, betas, eps, 0.0, bias_correction)


def never_corrected(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True,
                    scale=1.0):  # fmt: skip
    return adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, False, scale)


for wrong in (penalty_instead, never_corrected):
    report = check_formula("adamw", forward=wrong)
    print(f"{wrong.__name__}: {report.sentence}\n")
    assert not report.ok

# %% [markdown]
# Others: $t$ counted from 0, so that the first correction divides by 0; `zero_grad` forgotten, so that gradients of all
# steps pile up; each tensor clipped by itself, which changes the direction; clipping after the step; a checkpoint that
# keeps the weights but not $m$, $v$ and $t$, so that training goes on as if cold, without a warm-up.
#
# ## Exercises
#
# **13.1** Write AdamW, and check it with `check_formula("adamw", forward=yours)`. (`bertnp learn check 13.1`)
#
# **13.2** Show that $\hat m_t^2 \le \hat v_t$ if $\beta_1 = \beta_2$. (A mean of squares is never less than the square
# of the mean.) What does that say of the longest step?
#
# **13.3** A word occurs in one batch of a thousand. How long is the step of its row when it does, and how long are
# those in the ten steps after, in which its gradient is 0?
#
# **13.4** Train the deep network above with 2, 4 and 8 layers, at rates of 0.001, 0.003 and 0.006, with and without
# warm-up. Which need it?
#
# **13.5** Chapter 09 says that the offset of the keys has the gradient 0; computed, it is some $10^{-17}$. What does
# Adam make of that with $\varepsilon = 0$, and what with $\varepsilon = 10^{-8}$?
#
# **13.6** Write the clipping, (13.4). (`bertnp learn check 13.6`)
#
# **13.7** Write the schedule, (13.5). (`bertnp learn check 13.7`)
#
# **13.8** *Lion* (Chen et al. 2023) steps by the sign of an average, the same distance in every element. Write a step
# of it. What becomes of a row whose gradient is 0? (`bertnp learn check 13.8`)
#
# **13.9** Which parameters does weight decay act on? Tell it from their names. (`bertnp learn check 13.9`)
