# %% [markdown]
# # 02 · How to trust a gradient: slopes, the chain rule, and a check that cannot be fooled
#
# Needs: nothing. Runtime: 2 seconds.
#
# **What you will understand.** What a gradient is and what "backward" means; the two rules from which every backward
# pass in this project is derived; how to measure a slope without any formula, and how exactly; and why many a check of
# a gradient lets wrong ones pass.

# %%
import numpy as np

from bertnp import plotting
from bertnp.gradcheck import check, step_sweep, taylor
from bertnp.gradcheck.differences import slope
from bertnp.learn import draw, show

# %% [markdown]
# ## The idea
#
# Training a network means: turn each of its numbers a little so that the loss $L$, one number that says how wrong it
# is, goes down. For that one has to know, of each number $x$: *if $x$ rose by a tiny amount, by how many times that
# amount would $L$ rise?* That is the slope $\partial L / \partial x$. We call it $dx$. The $dx$ of all numbers together
# is the **gradient**.
#
# PyTorch and its kind find it by themselves. Here every one is derived by hand and written down. That is worth nothing
# unless it is right; so before the first formula of BERT, this chapter builds the tool that tells right from wrong.
#
# ## Two rules
#
# A network is a chain of simple steps. Two rules bring the slope from its end to its beginning:
#
# 1. **Along a path, slopes multiply.** If $u$ rises 3 times as fast as $x$, and $L$ twice as fast as $u$, then $L$
#    rises 6 times as fast as $x$: $\;dx = du \cdot \frac{\partial u}{\partial x}$.
# 2. **Where several paths lead to the loss, slopes add.** If $x$ is used in two places, each brings its share.
#
# So we walk from the loss back to the inputs, step by step, and at each step need only: the slope $du$ of what the
# step put out (it is there already, we come from there), and the slope of the step itself. That walk is the **backward
# pass**. For a step $y = f(x)$ with many inputs $x_i$ and many outputs $y_j$, both rules together say
#
# $$ dx_i = \sum_j dy_j \, \frac{\partial y_j}{\partial x_i} \tag{a} $$
#
# and a *backward* in this library is a function that takes $dy$ and returns $dx$. ($dy$ is also called the cotangent.)
#
# ## By hand
#
# $u = a\,b$, then $v = u + a$, then $L = v^2$, with $a = 2$, $b = 3$. Forward: $u = 6$, $v = 8$, $L = 64$. Backward:
#
# * $L = v^2$ has slope $2v$, so $dv = 16$;
# * $v = u + a$: both rise $v$ just as fast, so $du = 16$, and $a$ gets 16 *on this path*;
# * $u = a\,b$: $u$ rises $a$ times as fast as $b$, so $db = 16 \cdot 2 = 32$; and $b$ times as fast as $a$, which
#   brings $16 \cdot 3 = 48$ on this second path;
# * $a$ has two paths: $da = 16 + 48 = 64$.
#
# Is it true? Raise $a$ to 2.001 and look:


# %%
def loss(a, b):
    u = a * b
    v = u + a
    return v**2


rise = loss(2.001, 3.0) - loss(2.0, 3.0)
print(f"a rises by 0.001, the loss by {rise:.6f}: {rise / 0.001:.3f} times as much")
assert abs(rise / 0.001 - 64) < 0.02

# %% [markdown]
# ## The formula: slopes from values alone
#
# What we just did, $(f(x + h) - f(x))/h$, is a slope, but a rough one: 64.016. School calculus says how rough. Near $x$
# a smooth function is a polynomial (Taylor):
#
# $$ f(x \pm h) = f(x) \pm h f'(x) + \tfrac{h^2}{2} f''(x) \pm \tfrac{h^3}{6} f'''(x) + \dots \tag{b} $$
#
# The one-sided quotient leaves $\frac h2 f''$ over. Look to both sides instead, and subtract: everything with an even
# power cancels.
#
# $$ f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}, \qquad \text{wrong by about } \tfrac{h^2}{6} f'''(x) \tag{2.1} $$
#
# That is the **central difference**. Half the step, a quarter of the error. But $h$ cannot be made as small as one
# likes: $f$ is known to 16 digits only, $f(x+h)$ and $f(x-h)$ agree in more and more of them, and the difference keeps
# the rest. That error grows as $\epsilon\,|f| / h$ with $\epsilon = 2\cdot10^{-16}$. One falls with $h$, the other
# rises: together they are smallest where both are about as large, $h^2 = \epsilon/h$ (for a function whose numbers are
# of size 1), so near $h = \epsilon^{1/3} \approx 6 \cdot 10^{-6}$.
#
# There is a trick that does not subtract at all. Put $x + ih$ into (b), with $i^2 = -1$, and look at the imaginary
# part:
#
# $$ f'(x) \approx \frac{\operatorname{Im} f(x + ih)}{h} \tag{2.2} $$
#
# Nothing cancels, so $h$ may be $10^{-30}$, and the slope is exact to the last digit. It works for functions that are
# made of $+$, $\times$, $\exp$, $\tanh$ and the like all the way through; $|x|$ and $\max$ break it, silently.

# %%
show(slope)

# %% [markdown]
# Take $f(x) = x^3$ at $x = 2$. The slope is $3x^2 = 12$, and $f''' = 6$, so that the central difference is wrong by
# just $h^2$:


# %%
def cube(t):
    return (2.0 + t) ** 3


for method in ("forward", "central", "complex"):
    print(f"{method:8}", " ".join(f"h={h:g}: {slope(cube, method, h):<18.15g}" for h in (0.1, 0.01, 1e-5)))

assert abs(slope(cube, "forward", 0.1) - 12.61) < 1e-12
assert abs(slope(cube, "central", 0.1) - 12.01) < 1e-12
assert slope(cube, "complex", 1e-30) == 12.0

# %% [markdown]
# ## Checked: a backward against slopes
#
# For a step with many inputs and outputs we make one number of the outputs, $L = \sum_j dy_j\, y_j$ with random $dy$.
# By (a), its slope along $x_i$ is the $dx_i$ that the backward must return. `check` does that for every element of
# every input (of large ones, for some elements and along some random directions), and compares. It also tries what a
# backward must always hold to: $dy = 0$ gives $0$; twice the $dy$, twice the $dx$; the same call, the same answer; and
# no input is written to. Our example, as forward and backward:


# %%
def steps(a, b):
    u = a * b
    v = u + a
    return v**2


def steps_backward(dy, a, b):
    u = a * b
    v = u + a
    dv = dy * 2 * v  # v² has slope 2v
    du = dv
    da = dv + du * b  # two paths
    db = du * a
    return {"a": da, "b": db}


rng = np.random.RandomState(2)
inputs = {"a": rng.randn(3, 4), "b": rng.randn(3, 4)}
report = check(steps, steps_backward, inputs)
print(report)
assert report.ok

# %% [markdown]
# With one path forgotten:


# %%
def forgetful(dy, a, b):
    right = steps_backward(dy, a, b)
    return {"a": right["b"] / a * b, "b": right["b"]}  # only by way of u


report = check(steps, forgetful, inputs)
print(report)
assert not report.ok

# %% [markdown]
# How is "equal" decided? Not number by number: a tiny element of a large gradient has few digits that mean anything.
# The largest difference in a tensor must be below $10^{-7}$ of the largest number in it, plus what rounding explains.
#
# ## A claim tested: ones are blind
#
# Many a well-known check takes $dy = 1$ everywhere, that is, the plain sum of the outputs, because it is convenient.
# Look at $y_i = x_i / \sum_k x_k$, which turns amounts into shares. Shares add up to 1, whatever $x$ is. So under
# $dy = 1$ the loss is the constant 1, its true slope is 0, and a backward that returns nothing but zeros is "right".
# (A softmax, the heart of attention, is just such a function.)


# %%
def shares(x):
    return x / x.sum(axis=-1, keepdims=True)


def all_zero(dy, x):
    return {"x": np.zeros_like(x)}


x = 1.0 + np.arange(6.0).reshape(2, 3)
sum_of_outputs = [shares(x + t * (np.arange(6).reshape(2, 3) == 4)).sum() for t in (1e-6, -1e-6)]
print(f"slope of the plain sum along one x: {(sum_of_outputs[0] - sum_of_outputs[1]) / 2e-6:.1e}, the zeros' is 0.0")
assert abs(sum_of_outputs[0] - sum_of_outputs[1]) < 1e-15  # the blind check passes

report = check(shares, all_zero, {"x": x})
print(report.sentence)
assert not report.ok

# %% [markdown]
# This library's check refuses a $dy$ of ones, and says why.
#
# **Lazy inputs are as bad as ones.** Take $y = w x$ and a backward that forgets the $w$. At $w = 1$, where networks
# begin, it is right:


# %%
def scaled(x, w):
    return x * w


def without_w(dy, x, w):
    return {"x": dy, "w": dy * x}


lazy = check(scaled, without_w, {"x": x, "w": np.ones_like(x)})
honest = check(scaled, without_w, {"x": x, "w": 1.5 + 0 * x})
print("at w = 1:  ", "accepted" if lazy.ok else "rejected")
print("at w = 1.5:", "accepted" if honest.ok else "rejected")
assert lazy.ok and not honest.ok

# %% [markdown]
# So the inputs of a check are half of it. Those of this library have no ones, no two sizes alike (so that a mean over
# the wrong axis shows, and a transpose does not fit), ids that repeat, padding, and rows that are almost constant.
#
# ## The picture
#
# The error of each method for every $h$, on a small network. The curve of the central difference falls with slope 2,
# reaches its floor near $h = 6\cdot10^{-6}$, and rises again where digits run out. In single precision (float32) the
# best that it can do is about five digits, near $h = 10^{-3}$: too little to judge anything. Hence all checks run in
# double precision. The complex step has no floor to look for.

# %%
weights = np.random.RandomState(3).randn(4, 5)


def network(x):
    return (np.tanh(x @ weights) ** 2).sum()


place, direction = np.array([0.3, -0.2, 0.5, 0.1]), np.array([1.0, -2.0, 0.5, 1.5])
sweeps = {
    "one-sided, float64": step_sweep(network, place, direction, "forward"),
    "central, float64": step_sweep(network, place, direction, "central"),
    "central, float32": step_sweep(network, place, direction, "central", dtype=np.float32),
    "complex, float64": step_sweep(network, place, direction, "complex"),
}
best = {name: (h[error.argmin()], max(error.min(), 1e-17)) for name, (h, error) in sweeps.items()}
for name, (h, error) in best.items():
    print(f"{name:20} best at h = {h:.0e}: relative error {error:.0e}")
assert 1e-7 < best["central, float64"][0] < 1e-4 and best["central, float64"][1] < 1e-9
assert best["central, float32"][1] > 1e-7 and best["complex, float64"][1] < 1e-14

draw(
    plotting.curves,
    "ch02_step_sizes.png",
    panels=[
        {
            "series": {name: (h, np.maximum(error, 1e-17)) for name, (h, error) in sweeps.items()},
            "xlabel": "step h",
            "ylabel": "relative error of the slope",
            "log": "xy",
            "markers": True,
        }
    ],
    height=3.4,
)

# %% [markdown]
# ## Another view: the remainder
#
# Walk a distance $h$ in direction $v$. The gradient $g$ foretells the change $h \langle g, v \rangle$, and what it
# misses must shrink like $h^2$ (the next term of (b)):
#
# $$ R(h) = \big| f(x + hv) - f(x) - h \langle g, v \rangle \big| \sim h^2 \tag{2.3} $$
#
# So with half the step a quarter remains: the logarithm (base 2) of the quotient is 2. With a wrong gradient a part
# proportional to $h$ stays, and it is 1.

# %%
show(taylor)
hidden = np.tanh(place @ weights)
gradient = weights @ (2 * hidden * (1 - hidden**2))
_, right = taylor(network, gradient, place, direction, h=1e-4)
_, wrong = taylor(network, 1.1 * gradient, place, direction, h=1e-4)
print("right:        ", np.round(right, 2))
print("10 % too long:", np.round(wrong, 2))
assert abs(right - 2).max() < 0.1 and abs(wrong - 1).max() < 0.1

# %% [markdown]
# ## What others do
#
# * **The paper, Google's code and transformers** have no backward passes written out: TensorFlow and PyTorch derive
#   them while the program runs. What you read here is what they do behind your back.
# * **PyTorch** has `torch.autograd.gradcheck`, which looks at every single slope; **JAX** has `check_grads`, which goes
#   along random directions. Both are sound.
# * **Several courses** seed their check with ones, and one looks at a single random element of each tensor.
#   The zeros above would pass the first, and one wrong row in a table of thousands nearly always the second.
#
# ## Common mistakes
#
# * **$h$ as small as possible.** See the right half of the picture.
# * **Checking in float32.**
# * **A fresh dropout mask in each evaluation:** then the two values belong to two different functions.
# * **Checking at the beginning of training**, where $\gamma = 1$ and biases are 0.
# * **A tolerance made wider until the test is green.** A wrong factor of 1.001 is not rounding.
# * **Trusting the curve.** A network with a wrong gradient often learns, only worse. Loss curves do not find mistakes.
#
# ## Exercises
#
# **2.1** Write the central difference for a function of an array: a slope for every element.
# (`bertnp learn check 2.1`)
#
# **2.2** Three backwards of $y = \tanh(x)\,w$, each with a mistake. Find them on paper, then with `check`:
# (i) $dx = dy\, w (1 - x^2)$, (ii) $dw = dy \tanh(x)$ and $dx = dy\,(1 - \tanh^2 x)$, (iii) $dx = w(1-\tanh^2 x)$.
# (`bertnp learn check 2.2`)
#
# **2.3** Derive the backward of `shares`. (Start with $\partial y_j / \partial x_i$ for $i = j$ and for $i \ne j$.)
# (`bertnp learn check 2.3`)
#
# **2.4** Show from (b) that the five-point formula $(f_{-2} - 8 f_{-1} + 8 f_{1} - f_{2}) / 12h$, with
# $f_k = f(x + kh)$, is wrong only by about $h^4$.
#
# **2.5** Try the complex step on `np.abs(x)**3`. What comes out, and why?
#
# **2.6** Write a check of your own: is this function the derivative of that one? It is judged by how many wrong
# backwards it rejects, dozens of them, and gets nothing if it rejects a right one. (`bertnp learn check 2.6`)
#
# **2.7** Write the complex step (2.2) for a function of an array. (`bertnp learn check 2.7`)
