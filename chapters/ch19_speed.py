# %% [markdown]
# # 19 · The same code on a GPU, and why it is fast: operations, bytes, and roundings counted
#
# Needs: chapters 02, 03, 06, 07, 08, 11 and 13. Runtime: 10 seconds.
#
# **What you will understand.** Why a large product of matrices runs near the limit of a processor and an addition at a
# few hundredths of it; what blocks, threads and fused steps do about it, measured on your machine; how few bits a
# number can have before a network goes wrong, and where; and what the same formulas need in order to be fast on a GPU:
# few launches, and a host that never waits.

# %%
import math
import time
from collections import Counter

import bertnp.functional as F
from bertnp import AdamW, BertConfig, BertForPreTraining, BertModel, clip_grad_norm, inference, plain_formulas, plotting
from bertnp.backend import FORMULAS, Backend, array_module, get_backend, register_backend, to_numpy
from bertnp.backend.cupy_kernels import dropout_masks
from bertnp.backend.cupy_kernels.activations import bias_gelu
from bertnp.backend.numpy_kernels import activations, blocks, fused
from bertnp.backend.threads import get_threads, set_threads
from bertnp.bench.machine import attainable, blas_description, matrix_peak, memory_rate, processor_name
from bertnp.gradcheck import check, check_formula
from bertnp.learn import draw, show

import numpy as np  # isort: skip  (after bertnp, which chooses how NumPy multiplies)

# %% [markdown]
# ## The idea
#
# A processor does two things: it computes, and it fetches what it computes with. Both have a limit, so many operations
# and so many bytes a second, and whichever is reached first decides. A step that does little with each number it
# fetches waits for memory, however fast the arithmetic is. A step that uses each number again and again does not.
#
# So do not ask "how many operations does it take?", but **"how many for each byte?"** That one number tells what can be
# gained, and how: by better arithmetic, or by touching memory less often.
#
# All times below are of *your* machine, now; on another, or on this one when it is busy, they are others. That is why
# the text has hardly any numbers of seconds in it.

# %%
library = blas_description()
print(f"{processor_name()}, {get_threads()} threads; NumPy {np.__version__}; products by {library['library']}, "
      f"kernels {library['kernels']}")  # fmt: skip

# %% [markdown]
# ## The formula
#
# A product of $(m, k)$ by $(k, n)$ has $m\, n$ results, each a sum of $k$ products: $k$ multiplications and $k$
# additions. In float32, four bytes a number, it has to read both matrices and write the result, once each if nothing
# has to be fetched twice:
#
# $$ \text{operations} = 2\, m\, k\, n, \qquad \text{bytes} \ge 4\, (m k + k n + m n), \qquad
#    \text{intensity} = \frac{\text{operations}}{\text{bytes}} \tag{19.1} $$
#
# If a processor does at most $\pi$ operations and moves at most $\beta$ bytes a second, then a step of intensity $I$
# reaches at most
#
# $$ \min(\pi,\ \beta\, I) \ \text{ operations a second} \tag{19.2} $$
#
# (Williams et al. 2009, who call it the *roofline*: a slope, and then a flat roof.) The two meet at $I = \pi/\beta$.
# Steps on the left of it wait for memory, those on the right compute.

# %%
show(matrix_peak, attainable)
peak, rate = matrix_peak(0.3), memory_rate()
ridge = peak / rate
print(f"at most {peak / 1e9:.0f} GFLOP/s and {rate / 1e9:.0f} GB/s: they meet at {ridge:.1f} operations a byte")
assert ridge > 1  # on any machine that there is


# %% [markdown]
# ## By hand
#
# **A product of the encoder.** $T$ tokens, $H$ wide, times the weights of query, key and value, which lie side by side
# as one matrix $(3H, H)$. For $T = 1024$ and $H = 768$: $2 \cdot 1024 \cdot 768 \cdot 2304 = 3.6 \cdot 10^9$
# operations on 20 MB, or 184 for each byte. Each weight, once fetched, serves 1024 tokens; each token's number serves
# 2304 columns.
#
# **One token**, $T = 1$: 3.5 million operations, but all weights must still be fetched, 7 MB: one operation for two
# bytes. That is why a batch is so much cheaper than its sentences one by one.
#
# **An elementwise step**, such as adding one number to all: one operation for 8 bytes (read 4, write 4), $\frac18$,
# whatever the size.


# %%
def intensity(m, k, n):
    return 2 * m * k * n / (4 * (m * k + k * n + m * n))


T, H, I = 1024, 768, 3072
whole_batch, one_token, each_number = intensity(T, H, 3 * H), intensity(1, H, 3 * H), 1 / 8
for name, of in (("a batch", whole_batch), ("one token", one_token), ("one number", each_number)):
    print(f"{name:10} {of:7.2f} operations a byte: at most {attainable(of, peak, rate) / 1e9:6.1f} GFLOP/s here")
assert round(whole_batch) == 184 and abs(one_token - 0.5) < 0.01
assert attainable(whole_batch, peak, rate) > 2 * attainable(each_number, peak, rate)

# %% [markdown]
# Three products $(H, H)$, one each for query, key and value, have the same operations as the one $(3H, H)$. But they
# read the tokens three times, and have three times as many edges. In the library the three weights are neighbours in
# memory, so that one product can take them all.
#
# Now measured. The best of a few runs counts: whatever else the machine does can only make a run longer. What is to be
# compared takes turns, so that a busy moment hits all alike.


# %%
def seconds(*functions, runs=5):
    """The shortest of some runs of each, in turn, after one that does not count: it finds memory and loads code."""
    best = [math.inf] * len(functions)
    for run in range(runs + 1):
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            if run > 0:
                best[i] = min(best[i], time.perf_counter() - began)
    return best


rng = np.random.RandomState(19)
x, hidden = (rng.randn(*shape).astype(np.float32) for shape in ((T, H), (T, I)))
qkv, weight1, weight2 = (0.05 * rng.randn(*shape).astype(np.float32) for shape in ((3 * H, H), (I, H), (H, I)))
out, copy = np.empty((T, 3 * H), np.float32), np.empty_like(hidden)
row, out_row = x[:1], out[:1]

adding, one_row, all_rows = seconds(
    lambda: np.add(hidden, np.float32(1), out=copy),
    lambda: np.matmul(row, qkv.T, out=out_row),
    lambda: np.matmul(x, qkv.T, out=out),
)
reached = {
    "add one": (each_number, hidden.size / adding),
    "product, one token": (one_token, 2 * qkv.size / one_row),
    "product, a batch": (whole_batch, 2 * T * qkv.size / all_rows),
}
for name, (of, speed) in reached.items():
    print(f"{name:20} {of:7.2f} operations a byte, {speed / 1e9:7.2f} GFLOP/s")
assert reached["product, a batch"][1] > 2 * reached["add one"][1]

# %% [markdown]
# (A small array that stays in the processor's cache may climb over the slope: $\beta$ is the rate of *large* copies.)
#
# How does the product come so close to the roof? It cuts matrices into tiles that fit into the caches, copies each tile
# so that it lies in one piece, and multiplies it by many others before it lets it go. That is the work of **BLAS**, the
# library behind NumPy's `@`; nobody should write it again. What remains to us: to give it few, large, flat products,
# $(T, H)$ rather than $(B, S, H)$; and everything *between* the products.
#
# ## Blocks, in place
#
# GELU by its textbook (7.1) is one line of NumPy, and each operation in it is a journey through memory: the array is
# read, a new one is written, and by the time the next operation begins, its beginning has left the cache. New memory
# costs as much again: the system hands it out page by page, zeroed.
#
# The kernel does the *same* operations on a block of numbers so small that it stays in the cache, in place, and then on
# the next block. Memory sees one reading and one writing.

# %%
show(F.gelu, activations.twice_cdf, activations.gelu_block)
show(blocks.elementwise)


# %% [markdown]
# (It also replaces the error function, which SciPy computes to 16 digits, by a polynomial within a tanh, good to the 7
# that float32 has.) To see the blocks alone, here is one polynomial of degree 6, three ways: it computes the same, bit
# for bit.


# %%
def polynomial(x, out=None):
    """By Horner's rule, in six multiplications and five additions for each number"""
    y = np.multiply(x, np.float32(0.5), out=out)
    for coefficient in (0.1, -0.2, 0.3, -0.4, 0.5):
        y = np.add(y, np.float32(coefficient), out=out)
        y = np.multiply(y, x, out=out)
    return y


def in_blocks(x, out, size=1 << 15):
    x, out = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, size):
        polynomial(x[start : start + size], out[start : start + size])


first, second, third = polynomial(hidden), np.empty_like(hidden), np.empty_like(hidden)
polynomial(hidden, second)
in_blocks(hidden, third)
assert np.array_equal(first, second) and np.array_equal(first, third)
names = ("a new array each time", "in place", "in place, in blocks")
found = seconds(lambda: polynomial(hidden), lambda: polynomial(hidden, second), lambda: in_blocks(hidden, third))
times = dict(zip(names, found, strict=True))
for name, of in times.items():
    print(f"{name:22} {1000 * of:6.2f} ms, {11 * hidden.size / of / 1e9:6.2f} GFLOP/s")
assert times["in place, in blocks"] < times["a new array each time"]

# %% [markdown]
# **Threads.** Blocks know nothing of each other, so several cores can each take some. NumPy lets go of Python's lock
# while it computes, so plain threads do. The blocks are the same however many threads there are, and sums over them are
# added in the blocks' order: so **the result does not depend on the threads**, to the last bit.

# %%
threads = get_threads()
dhidden = rng.randn(T, I).astype(np.float32)
found = {}
for count in (1, 2):
    set_threads(count)
    found[count] = F.gelu_feed_forward_backward(x, x, weight1, weight2, hidden)
    print(f"GELU with {count} thread{'s' * (count > 1)}: {1000 * seconds(lambda: F.gelu(hidden))[0]:.2f} ms")
set_threads(threads)
assert all(np.array_equal(a, b) for a, b in zip(found[1], found[2], strict=True))

# %% [markdown]
# ## Fused steps, and their backward
#
# In the feed-forward network (7.11) a bias and a GELU stand between two products. Each done for itself, that is two
# journeys through an array of $T \cdot I$ numbers, forwards, and three backwards. **Fused**, both are done while a
# block is in the cache. Mathematically a fused step is a composition, and its backward the chain rule:
#
# $$ u = z + b, \qquad a = u\, \Phi(u) \tag{a} $$
#
# where $z$ $(T, I)$ is the first product. $u_{ti}$ depends on $z_{ti}$ with slope 1, and on $b_i$ with slope 1 in every
# row $t$. So with (7.2) for GELU, and a sum because $b$ is shared (chapter 03):
#
# $$ du_{ti} = da_{ti}\, \big( \Phi(u_{ti}) + u_{ti}\, \varphi(u_{ti}) \big), \qquad dz = du, \qquad
#    db_i = \sum_t du_{ti} \tag{b} $$
#
# One pass can make all three: $du$ of a block, and the block's share of the sum. And there is more to save. $a$, needed
# for the gradient of the second product, is not kept by the forward: $\Phi(u)$ is computed in (b) anyway, and
# $a = u\,\Phi(u)$ costs one more multiplication in the cache, which is cheaper than $4\, T\, I$ bytes of memory.


# %%
def bias_gelu_in_blocks(z, b):
    a = np.empty_like(z)
    for rows in (slice(0, 2), slice(2, None)):
        a[rows] = F.gelu(z[rows] + b)
    return a


def bias_gelu_backward_in_blocks(da, z, b):
    dz, db = np.empty_like(z), np.zeros_like(b)
    for rows in (slice(0, 2), slice(2, None)):
        dz[rows] = F.gelu_backward(da[rows], z[rows] + b)
        db += dz[rows].sum(axis=0)
    return {"z": dz, "b": db}


report = check(bias_gelu_in_blocks, bias_gelu_backward_in_blocks, {"z": rng.randn(5, 3), "b": rng.randn(3)})
print(report)
assert report.ok

# %% [markdown]
# In the library the fused step is a formula of its own, `gelu_feed_forward`, whose textbook body calls the parts, and
# which the check of chapter 02 checks like any other. The kernel stands under the same name and must give the same
# numbers. This is its backward, one pass between the products:

# %%
show(fused.gelu_feed_forward_backward)
assert check_formula("gelu_feed_forward").ok and check_formula("residual_norm").ok

# %% [markdown]
# ## Checked: kernels against their textbooks
#
# Each formula `f` of the library is called with `f(...)`, which runs the kernel, and with `f.formula(...)`, which runs
# the textbook. The numbers must agree, and the time should not.

# %%
bias, ones, zeros = np.full(I, 0.1, np.float32), np.ones(H, np.float32), np.zeros(H, np.float32)
keep = rng.rand(T, H) > 0.1
_, x_hat, inv_std = F.layer_norm(x, ones, zeros)
lengths, gradient = np.full(8, T // 8), 0.01 * rng.randn(T, H).astype(np.float32)
parameter, mean, variance = (0.1 * rng.rand(2_000_000).astype(np.float32) for _ in range(3))
adamw_arguments = (parameter, mean, mean, variance, 10, 1e-3, (0.9, 0.999), 1e-6, 0.01)
calls = {
    "product": (x, weight1),
    "gelu": (hidden,),
    "gelu_backward": (dhidden, hidden),
    "gelu_feed_forward": (x, weight1, bias, weight2),
    "gelu_feed_forward_backward": (gradient, x, weight1, weight2, hidden),
    "residual_norm": (x, zeros, x, ones, zeros, keep, 0.1),
    "residual_norm_backward": (gradient, x_hat, inv_std, ones, keep, 0.1),
    "packed_attention": (x, x, x, lengths, lengths, 12),
    "adamw": adamw_arguments,
}
total = {"textbook": 0.0, "kernel": 0.0}
print(f"{'milliseconds':28}{'textbook':>10}{'kernel':>10}{'ratio':>8}")
for name, arguments in calls.items():
    formula = FORMULAS[name]
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (formula.formula(*arguments), formula(*arguments))),
                strict=True)  # fmt: skip
    for expected, got in pairs:
        assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max(), name
    slow, fast = seconds(lambda: formula.formula(*arguments), lambda: formula(*arguments), runs=2)  # noqa: B023
    total["textbook"] += slow
    total["kernel"] += fast
    print(f"{name:28}{1000 * slow:10.2f}{1000 * fast:10.2f}{slow / fast:8.1f}")
assert total["kernel"] < total["textbook"]

# %% [markdown]
# A bare product gains nothing: its textbook is BLAS already. What is elementwise, such as GELU, gains several times;
# the fused steps something in between, since part of their time is products.
#
# **Beside others.** `bertnp bench` measures whole steps of training and of use beside PyTorch and ONNX Runtime, where
# they are installed, and writes processor, versions and BLAS next to every ratio; the project's README has such a
# table. A ratio without these says nothing. PyTorch multiplies with MKL, Intel's own library, which is at its strongest
# on Intel processors; on AMD's it is not, and there NumPy's OpenBLAS can be faster, if it knows the processor. Where it
# doesn't, it falls back to old kernels: `import bertnp` looks after that.
#
# ## Work that is not done at all
#
# The fastest step is the one left out. Rows of a batch are filled up with padding, of which real batches are half;
# chapter 11 takes it out before the first layer and puts zeros back behind the last. Operations of a layer, for $T$
# real tokens in $B$ sequences of length $n_b$ (products only):
#
# $$ T \cdot 2\,(4 H^2 + 2 H I) + \sum_b 4\, n_b^2\, H \tag{c} $$
#
# where padding would have $B S$ in place of $T$, and $S$ in place of each $n_b$.

# %%
sizes = {"vocab_size": 100, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
B, S = 16, 64
model = BertModel(BertConfig(num_hidden_layers=2, max_position_embeddings=S, **sizes), seed=0)
lengths = np.linspace(4, S, B).astype(int)
mask = (np.arange(S) < lengths[:, None]).astype(int)
ids = rng.randint(5, 100, (B, S))


def layer_operations(lengths, H=256, I=1024):
    return sum(n * 2 * (4 * H * H + 2 * H * I) + 4 * n * n * H for n in map(int, lengths))


with inference():
    # without a mask every position counts as a token
    with_padding, without = seconds(lambda: model(ids), lambda: model(ids, attention_mask=mask), runs=6)
share = layer_operations(lengths) / layer_operations([S] * B)
print(f"{mask.mean():.0%} of the positions are tokens, with {share:.0%} of the operations: {1000 * without:.1f} ms, "
      f"{without / with_padding:.0%} of {1000 * with_padding:.1f} ms")  # fmt: skip
assert without < with_padding and 0.45 < share < 0.55

# %% [markdown]
# In the same way the masked-word loss multiplies by the $V$ rows of the word table at the labelled positions only, one
# in seven (chapter 12), and the last layer of a classifier computes no more than what `[CLS]` needs.
#
# ## Fewer bits
#
# A floating-point number is a sign, a power of two, and $p$ binary digits. Rounding to it is off by at most half of the
# last digit: $\operatorname{fl}(x) = x\,(1 + \delta)$ with $|\delta| \le u = 2^{-p}$.
#
# | | bytes | $p$ | $u$ | smallest to largest |
# |---|---|---|---|---|
# | float64 | 8 | 53 | $1.1 \cdot 10^{-16}$ | $10^{-308}$ to $10^{308}$ |
# | float32 | 4 | 24 | $6.0 \cdot 10^{-8}$ | $10^{-38}$ to $10^{38}$ |
# | float16 | 2 | 11 | $4.9 \cdot 10^{-4}$ | $6 \cdot 10^{-5}$ to 65504 |
# | bfloat16 | 2 | 8 | $3.9 \cdot 10^{-3}$ | as float32 |
#
# (Below the smallest there are a few more numbers, with fewer and fewer digits: in float16 down to $6 \cdot 10^{-8}$.)
#
# Half the bytes are twice the speed for all that waits for memory, and GPUs have units that multiply 16-bit matrices
# many times as fast. What does it cost? bfloat16 is float32 with its last 16 bits rounded away:


# %%
def bfloat16(x):
    """Rounded to the nearest bfloat16 (to the even one of two), as float64"""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32).astype(float)


ROUNDED = {
    "float64": lambda x: x,
    "float32": lambda x: x.astype(np.float32).astype(float),
    "float16": lambda x: x.astype(np.float16).astype(float),
    "bfloat16": bfloat16,
}
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
some = 1 + rng.randn(100_000) ** 2
for name, rounded in ROUNDED.items():
    worst = np.abs(rounded(some) / some - 1).max()
    print(f"{name:9} largest δ {worst:.1e}, u = {2.0 ** -DIGITS[name]:.1e}")
    assert worst <= 2.0 ** -DIGITS[name]
assert bfloat16(1 + 2.0**-9) == 1 and bfloat16(1 + 3 * 2.0**-9) == 1 + 2.0**-7

# %% [markdown]
# **Sums are where it hurts.** Add 1 again and again, each time rounded: in bfloat16 the sum stays at 256, for $256 + 1$
# has nine digits and rounds back. In float16 it stays at 2048; in float32 at 16,777,216. Each sum of $n$ terms one
# after the other may be off by $n\,u \sum |x_i|$. Halving the list, and adding the sums of the halves, makes that
# $\log_2 n$ in place of $n$; NumPy's `sum` does so. So: **products of 16-bit numbers, but sums in float32.** That is
# what a GPU's matrix units do, and what the library's kernels do with statistics, softmax, losses and the gradients of
# parameters.

# %%
for name, stays in (("bfloat16", 256.0), ("float16", 2048.0)):
    assert ROUNDED[name](np.float64(stays + 1)) == stays and ROUNDED[name](np.float64(stays - 1)) == stays - 1
terms = rng.rand(1_000_000).astype(np.float32)
exact = math.fsum(map(float, terms))
one_by_one, halved = abs(np.cumsum(terms)[-1] - exact) / exact, abs(terms.sum() - exact) / exact
print(f"a million terms in float32: off by {one_by_one:.1e} one by one, by {halved:.1e} in halves; u = {2.0**-24:.1e}")
assert halved < 10 * 2.0**-24 < one_by_one

# %% [markdown]
# **And small steps are lost.** A weight of 1 that is to move by 0.001 does not move at all in bfloat16: the next number
# below 1 is 0.996. One of 0.03, as weights of BERT are, needs steps of $6 \cdot 10^{-5}$, and the last steps of a
# fine-tuning are smaller. So weights and Adam's $m$ and $v$ stay float32, and a rounded copy of the weights is made for
# each product.

# %%
assert bfloat16(bfloat16(0.03) - 3e-5) == bfloat16(0.03) and bfloat16(1 - 0.001) == 1
assert ROUNDED["float32"](np.float64(1 - 0.001)) < 1
weight, master = 1.0, 1.0
for _ in range(1000):
    weight, master = float(bfloat16(weight - 0.001)), float(np.float32(master - 0.001))
print(f"after 1000 steps of -0.001: in bfloat16 {weight}, in float32 {master:.4f}")
assert weight == 1 and abs(master) < 1e-4

# %% [markdown]
# **How does an error grow from layer to layer?** Twelve layers without attention, each formula computed exactly and
# its result rounded, as when activations are stored in that type. Against the same in float64:


# %%
def layers(rounded, L=12, H=64, T=64):
    """The vectors after each layer: (L, T, H)"""
    stream = np.random.RandomState(7)
    x, vectors = rounded(stream.randn(T, H)), []
    for _ in range(L):
        w1, w2 = (rounded(stream.randn(*shape) / math.sqrt(shape[1])) for shape in ((4 * H, H), (H, 4 * H)))
        u = rounded(F.linear(x, w1, np.zeros(4 * H)))
        y = rounded(F.product(rounded(F.gelu(u)), w2))
        x = rounded(F.residual_norm(y, np.zeros(H), x, np.ones(H), np.zeros(H))[0])
        vectors.append(x)
    return np.array(vectors)


right = layers(ROUNDED["float64"])
off = {name: np.sqrt(((layers(rounded) - right) ** 2).mean(axis=(1, 2)))
       for name, rounded in ROUNDED.items() if name != "float64"}  # fmt: skip
for name, of in off.items():
    units = of[-1] / 2.0 ** -DIGITS[name]
    print(f"{name:9} off by {of[0]:.1e} after one layer, by {of[-1]:.1e} after twelve: {units:.1f} u")
    assert 1 < units < 5 and of[-1] < 5 * of[0]

# %% [markdown]
# It grows slowly: errors of random signs partly cancel, and each layer norm brings the vectors back to size 1. Three
# more binary digits are eight times the accuracy, throughout. bfloat16's error of about a hundredth is small beside
# what dropout does on purpose; that is why training gets by with it. float16 is more exact but small: a gradient of
# $10^{-8}$ is 0 there, and a score of 70,000 infinite. It needs its losses scaled up. bfloat16 does not.

# %%
with np.errstate(over="ignore"):
    assert np.float16(1e-8) == 0 and np.isinf(np.float16(70000.0)) and bfloat16(1e-8) > 0 and bfloat16(70000.0) < 1e5

# %% [markdown]
# ## The picture
#
# Left on the slope, what waits for memory; right under the roof, what computes. (Drawn from the times above: yours will
# differ.)

# %%
polynomials = {"a polynomial, new arrays": "a new array each time", "the same, in blocks": "in place, in blocks"}
points = dict(reached)
points |= {name: (11 / 8, 11 * hidden.size / times[of]) for name, of in polynomials.items()}
draw(plotting.roofline, "ch19_roofline.png", points=points, peak=max(peak, reached["product, a batch"][1]), rate=rate)

# %% [markdown]
# And the errors of twelve layers; on the right in units of each type's own $u$, where they are nearly the same curve:

# %%
number = np.arange(1, 13)
in_units = {name: of / 2.0 ** -DIGITS[name] for name, of in off.items()}
draw(
    plotting.curves,
    "ch19_rounding.png",
    panels=[
        {"title": title, "xlabel": "layer", "ylabel": unit, "markers": True, "xticks": [1, 4, 8, 12], **axis,
         "series": {name: (number, of) for name, of in errors.items()}}
        for title, unit, axis, errors in (
            ("every formula's result rounded", "error", {"log": "y", "ylim": (1e-8, 0.1)}, off),
            ("the same in units of u", "error / u", {"ylim": (0, 3)}, in_units),
        )
    ],
    height=3.0,
)  # fmt: skip

# %% [markdown]
# ## The same code on a GPU
#
# A GPU has the same two limits, both far higher. And it has a third one. The host, Python, only *gives orders*: each
# operation on an array is a **launch**, which takes some microseconds to give, whatever the size of the array. If the
# device is done before the next order comes, it idles. So launches are to be few, and the host is to run ahead.
#
# The formulas need no second version for it. `array_module(x)` is `numpy` for an array of NumPy and `cupy` for one of
# CuPy, which has the same functions, computed on the GPU: **the array decides.** Each backend may register kernels of
# its own under the formulas' names:

# %%
show(array_module)
have = {name: [backend in formula.kernels for backend in ("numpy", "cupy")] for name, formula in FORMULAS.items()}
print(f"{len(have)} formulas; kernels for NumPy: {sum(n for n, _ in have.values())}, for CuPy: "
      f"{sum(c for _, c in have.values())}")  # fmt: skip
print(f"bias and GELU on the GPU, for each number:\n    {bias_gelu.statement}")
assert have["gelu_feed_forward"] == [True, True] and "erf" in bias_gelu.statement

# %% [markdown]
# That line of C++ is equation (a) once more: `product` is $z$.
#
# **Does the host ever wait?** It does as soon as it wants to *know* a number: `float(loss)`, `if norm > 1`, `x[x > 0]`,
# whose size depends on values. Everything ordered until then has to be finished first. A step of training that does it
# once per layer has lost its lead twelve times.
#
# This can be tested without a GPU. Here is an array that plays a device's: it counts what is done to it, and what is
# asked of it. Operations count as launches; `float`, `bool` and copies to the host as waits. (The project's tests use a
# stricter one, which refuses whatever CuPy refuses.)

# %%
happened = Counter()


def plain(x):
    return x.view(np.ndarray) if isinstance(x, Watched) else x


def watched(x):
    return np.asarray(x).view(Watched) if isinstance(x, np.ndarray | np.generic) else x


class Watched(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        happened["launches"] += 1
        if out is not None:
            options["out"] = tuple(map(plain, out))
        result = watched(getattr(ufunc, method)(*map(plain, inputs), **options))
        return result if out is None else out[0]

    def __array_function__(self, function, types, args, kwargs):
        happened["launches"] += 1
        args = [[plain(one) for one in value] if isinstance(value, list | tuple) else plain(value) for value in args]
        return watched(function(*args, **{name: plain(value) for name, value in kwargs.items()}))

    def __setitem__(self, key, value):
        happened["launches"] += 1
        plain(self)[key] = plain(value)

    def answer(self, kind):
        happened["waits"] += 1
        return kind(plain(self))

    def __float__(self):
        return self.answer(float)

    def __bool__(self):
        return self.answer(bool)


class WatchedLibrary:
    def __getattr__(self, name):
        function = getattr(np, name)
        if isinstance(function, np.ufunc | type) or not callable(function):
            return function
        return lambda *args, **options: watched(function(*args, **options))


class Orders:
    """Takes the orders of CuPy's kernels, and does nothing."""

    tf32 = False

    def launch(self, *order):
        happened["launches"] += 1

    multiply = multiply_batch = launch

    def elementwise(self, kernel):
        def run(*arrays):
            happened["launches"] += 1
            made = arrays[kernel.inputs.count(",") + 1 :] or (watched(np.zeros_like(plain(arrays[0]))),)
            return made[0] if len(made) == 1 else made

        return run

    def pointer(self, array):
        return array.ctypes.data


class WatchedBackend(Backend):
    name, array_type, xp, masks, device = "watched", Watched, WatchedLibrary(), dropout_masks, Orders()

    def asarray(self, values, dtype=None):
        return watched(np.array(values, dtype=dtype))

    def to_numpy(self, array):
        return array.answer(np.array)

    def empty(self, shape, dtype):
        return watched(np.zeros(shape, dtype))

    def zeros_aligned(self, size, dtype):
        return watched(np.zeros(size, dtype))

    def erf(self, x):
        happened["launches"] += 1
        return watched(get_backend("numpy").erf(plain(x)))

    def add_at(self, target, index, values):
        happened["launches"] += 1
        np.add.at(plain(target), index, plain(values))


register_backend(WatchedBackend())
with plain_formulas():
    happened.clear()
    F.gelu(watched(hidden))
print(f"GELU by its textbook: {happened['launches']} launches, by its kernel: 1")
assert happened["launches"] >= 5

# %% [markdown]
# A whole step of training, now: forward, backward, clipping, AdamW. First by the textbooks, then with the kernels made
# for CuPy, whose orders are taken and not carried out.


# %%
def training_step(L):
    """A function that takes one step of a BERT of L layers on the device that counts"""
    sizes = {"vocab_size": 50, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForPreTraining(BertConfig(num_hidden_layers=L, max_position_embeddings=9, **sizes), device="watched")
    optimizer = AdamW(model.train())
    ids = np.random.RandomState(3).randint(5, 50, (3, 9))
    batch = {"attention_mask": (np.arange(9) < [[9], [6], [9]]).astype(int), "labels": np.where(ids < 20, ids, -100),
             "next_sentence_label": np.array([0, 1, 1])}  # fmt: skip

    def step():
        out = model(ids, **batch)
        model.backward()
        scale, _ = clip_grad_norm(model, 1.0)
        optimizer.step(scale)
        optimizer.zero_grad()
        return out

    return step


def counted(step):
    step()  # the first makes buffers
    happened.clear()
    out = step()
    return out, dict(happened)


numbers = {}
with_kernels = [formula for formula in FORMULAS.values() if "cupy" in formula.kernels]
with np.errstate(all="ignore"):  # dropout masks are not drawn, only ordered: what is in the arrays does not matter
    with plain_formulas():
        for L in (2, 3):
            out, numbers["textbooks", L] = counted(training_step(L))
    for formula in with_kernels:
        formula.kernels["watched"] = formula.kernels["cupy"]
    for L in (2, 3):
        _, numbers["CuPy's kernels", L] = counted(training_step(L))
for formula in with_kernels:
    del formula.kernels["watched"]

launches = {}
for by in ("textbooks", "CuPy's kernels"):
    two, three = (numbers[by, L]["launches"] for L in (2, 3))
    launches[by] = three - two
    print(f"{by:15} {two} launches for 2 layers, {launches[by]} for each more: {two + 10 * launches[by]} for 12; "
          f"waits: {numbers[by, 2].get('waits', 0)}")  # fmt: skip
    assert "waits" not in numbers[by, 2] and "waits" not in numbers[by, 3]
assert launches["CuPy's kernels"] < 0.5 * launches["textbooks"]

before = happened["waits"]
float(out.loss)  # the only question, and only if somebody asks it
assert happened["waits"] == before + 1

# %% [markdown]
# No waits at all. Ids, labels and lengths are host arrays from the start, so everything that depends on *them* (which
# rows are padding, which positions have labels) is worked out on the host without asking the device. The scale of the
# clipping stays on the device, too: it is multiplied in, and nobody looks at it. Whether the loss is finite, the
# Trainer asks one step later, when it is long known.
#
# Now, if there is a GPU here, on that:

# %%
try:
    device = get_backend("cuda")
    print("on the GPU:")
except ValueError as error:
    device = get_backend("cpu")
    print(f"{error}; so what follows runs on NumPy, too:")
for name in ("gelu", "gelu_feed_forward", "residual_norm", "adamw"):
    formula, arguments = FORMULAS[name], calls[name]
    there = formula(*(device.asarray(value) if isinstance(value, np.ndarray) else value for value in arguments))
    here = formula.formula(*arguments)
    there, here = (value[0] if isinstance(value, tuple) else value for value in (there, here))
    difference = np.abs(to_numpy(there) - here).max() / np.abs(here).max()
    print(f"{name:20} on {device.name}: differs from the textbook by {difference:.1e}")
    assert difference < 1e-4

# %% [markdown]
# There are no times of a GPU in this chapter, since nothing here has been measured on one. `bertnp bench --device cuda`
# measures, where there is one.
#
# ## What others do
#
# * **PyTorch** has the same division: kernels of its own, cuBLAS and MKL for products, and a mode (`torch.compile`)
#   that fuses what stands between them, by itself. It computes padding unless told otherwise.
# * **NVIDIA** trains BERT in float16, with a scaled loss and float32 weights beside (Micikevicius et al. 2018).
#   **Google's** TPUs multiply in bfloat16.
# * **FlashAttention** (Dao et al. 2022) is the idea of the blocks applied to attention: the table of scores, $S \times
#   S$, is never written to memory at all. For $S = 512$ and less, as in BERT, that table is small beside the rest.
# * **ONNX Runtime** puts weights into BLAS's inner order once, when loading. That is worth most for few rows.
#
# ## Common mistakes
#
# * **A GPU timed without waiting for it.** The order to multiply takes microseconds, the product does not. Time with
#   `synchronize()` before both readings of the clock.
# * **The first run timed**, which loads code and asks for memory; or a single one; or two programs on one machine at
#   the same time.
# * **Operations counted where bytes matter.** Half as many operations in a step that waits for memory save nothing.
# * **Double precision by accident.** A NumPy number is not a Python number: it makes a float32 array float64, twice as
#   many bytes, without a word. On CuPy, too.

# %%
assert (hidden[:2] * np.sqrt(2.0)).dtype == np.float64 and (hidden[:2] * math.sqrt(2.0)).dtype == np.float32

# %% [markdown]
# * **Statistics in float16**: a variance of vectors with entries of 300 overflows at the square. And a mean of 4096
#   numbers near 1, added up one by one, is wrong by half:

# %%
total = np.float16(0)
for _ in range(4096):
    total = np.float16(total + np.float16(1))
print(f"the mean of 4096 ones, summed in float16: {float(total) / 4096}; by NumPy, in halves: "
      f"{np.ones(4096, np.float16).sum() / 4096}")  # fmt: skip
with np.errstate(over="ignore"):
    assert total == 2048 and np.isinf(np.float16(300) ** 2)

# %% [markdown]
# * **More threads than cores**: BLAS's threads and one's own, or two processes with all cores each. They wait for each
#   other. `OPENBLAS_NUM_THREADS=1` is worth a try.
#
# ## Exercises
#
# **19.1** How many operations and bytes has the attention core, $Q K^{\mathsf T}$, softmax and $P V$, of one head with
# $D = 64$ and $S = 128$? On which side of the ridge is it? And with $S = 4096$?
#
# **19.2** AdamW reads and writes 28 bytes for each parameter (which?) and does some 15 operations. How long does it
# take at least for 110 million parameters at your $\beta$? Compare with $6 \cdot 110 \cdot 10^6$ operations for each
# token of a training step, at your $\pi$: from how many tokens on does AdamW no longer matter?
#
# **19.3** Write softmax over the last axis in blocks of rows, in place. How much faster is it than the textbook, for
# which sizes?
#
# **19.4** Find the block size for `in_blocks` that is best on your machine, and draw the time against it. Can you see
# the sizes of your caches?
#
# **19.5** Let `Watched` stop the program at each wait, and write a training loop that prints the loss every step. How
# can it print the loss without holding up the device?
