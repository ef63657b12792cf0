"""Chapters 06 to 08: norms, activations, the feed-forward network, residuals."""

import bertnp.functional as F
from bertnp.gradcheck import blocks
from bertnp.learn import given
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import formula
from bertnp.learn.stubs import layers as stubs
from bertnp.learn.subjects import subject


def functions_of(*names):
    return {name: getattr(F, name) for name in names}


RMS_NORM = subject(
    "rms_norm",
    {
        "ordinary": lambda rng: {"x": rng.randn(3, 2, 5) * 2 + 0.7, "weight": rng.rand(5) + 0.6, "eps": 1e-6},
        "a large eps": lambda rng: {"x": rng.randn(4, 5), "weight": rng.rand(5) + 0.6, "eps": 0.1},
        "small numbers": lambda rng: {"x": rng.randn(4, 5) * 1e-3, "weight": rng.rand(5) + 0.6, "eps": 1e-6},
    },
    takes=("x_hat", "inv_rms", "weight"),
    wrt=("x", "weight"),
    outputs=("y", "x_hat", "inv_rms"),
    rows={"x": 0},
    shapes={"x": "B S H", "weight": "H"},
    known={
        "forward": {
            "mean subtracted": "The mean is subtracted, as in layer norm. RMSNorm leaves it in: only the size is "
            "normalised.",
            "eps outside": "eps is added to the root. It belongs inside, beside the mean of the squares.",
            "sum of squares": "It divides by the root of the sum of squares; take their mean.",
            "eps not used": "eps is not used: beside small numbers it counts.",
        },
        "backward": {
            "size constant": "The size is taken as a constant. x moves it too: take away x_hat mean(g x_hat).",
            "layer norm's": "That is layer norm's backward, with mean(g) taken away as well. Here no mean was "
            "subtracted in the forward.",
            "gamma lost": "gamma is missing in dx: multiply dy by it before the mean is taken.",
            "gamma late": "gamma comes after the mean; multiply dy by it first.",
            "x_hat lost": "mean(g x_hat) is taken away as it is. It is the length along x_hat, so multiply it by "
            "x_hat.",
            "dgamma not summed": "dgamma has a row for each position. One gamma served them all: sum.",
        },
    },
)
QUICK_GELU = subject(
    "quick_gelu",
    {
        "ordinary": lambda rng: {"x": rng.randn(4, 2, 3) * 2},
        "large numbers": lambda rng: {"x": rng.uniform(-900, 900, (4, 3))},
    },
    takes=("x",),
    wrt=("x",),
    rows={"x": 0},
    known={
        "forward": {
            "1.702 lost": "That is silu, x σ(x): the 1.702 in the sigmoid is missing.",
            "that is GELU": "That is GELU itself. Its quick stand-in is off by up to 0.02.",
            "x lost": "The factor x in front is missing.",
            "1.702 outside": "1.702 multiplies the result; it belongs inside the sigmoid.",
        },
        "backward": {
            "1.702 lost": "The second term lacks 1.702, the slope of what is inside the sigmoid.",
            "first half": "That is half of the product rule: x stands inside the sigmoid too.",
            "second half": "That is the second half of the product rule; the sigmoid itself belongs there too.",
            "GELU's": "That is the slope of GELU. Forward and backward must be of the same function.",
        },
    },
)
SWIGLU = subject(
    "swiglu",
    lambda rng: {"x": rng.randn(2, 3, 4), "weight": rng.randn(5, 4), "gate": rng.randn(5, 4)},
    takes=("x", "weight", "gate"),
    wrt=("x", "weight", "gate"),
    rows={"x": 0},
    shapes={"x": "B S H", "weight": "I H", "gate": "I H"},
    known={
        "forward": {
            "gate and weight swapped": "W goes through silu and G does not; it is the gate G that does.",
            "sigmoid for silu": "The gate goes through a sigmoid (that is GLU). Here it goes through silu, z σ(z).",
            "gate bare": "The gate goes through nothing. It goes through silu.",
        },
        "backward": {
            "one path to x": "Only one path leads to dx. x is read twice, by W and by G: add both.",
            "dW and dG swapped": "dW and dG have changed places.",
            "gate's slope left out": "The gradient of the gate walks past silu: multiply by its slope at x Gᵀ.",
        },
    },
)
PRE_NORM = subject(
    "pre_norm",
    lambda rng: {
        "x": rng.randn(2, 3, 4) * 2 + 0.7,
        "norm_weight": rng.rand(4) + 0.6,
        "norm_bias": rng.randn(4),
        "weight": rng.randn(4, 4),
        "bias": rng.randn(4),
    },  # fmt: skip
    takes=("x", "norm_weight", "norm_bias", "weight"),
    wrt=("x", "norm_weight", "norm_bias", "weight", "bias"),
    forward=given.pre_norm,
    shapes={"x": "B S H", "norm_weight": "H", "norm_bias": "H", "bias": "H"},
    known={
        "backward": {
            "way straight through lost": "The way straight through is missing: x is also a summand of y, so dy itself "
            "is part of dx.",
            "branch lost": "Only the way straight through is there; the branch brings a gradient as well.",
            "dW from x": "dW uses x. What the linear map read is the normalised n.",
            "all through the norm": "dy of the way straight through goes through the norm too. The norm stands in the "
            "branch only.",
        }
    },
)

EXERCISES = [
    Exercise(
        "6.1",
        "Layer norm, backward",
        "Write the backward of layer norm, with all intermediate gradients or in one line.",
        ("layer_norm_backward",),
        functions_of("layer_norm_backward"),
        formula("layer_norm"),
        (
            "x moves the mean and the variance too. How many paths lead from x_i to the loss?",
            "With g = gamma dy, two things are taken from g: its mean, and its part along x_hat, whose length is a "
            "mean, too.",
            "mean(g) and x_hat times mean(g x_hat), both over the last axis with keepdims; then the factor inv_std. "
            "dweight and dbias sum over all positions: reshape to (positions, H) first.",
        ),
        points=3,
        closed=functions_of("residual_norm_backward"),
    ),
    Exercise(
        "6.3",
        "RMSNorm",
        "Write the norm that leaves the mean alone, and its backward.",
        ("rms_norm", "rms_norm_backward"),
        {"rms_norm": stubs.rms_norm, "rms_norm_backward": stubs.rms_norm_backward},
        RMS_NORM,
        (
            "It is chapter 06 without step 1 and 2. Which of the paths back are gone?",
            "The mean of squares is of x itself. In (6.2) the term of the mean goes, and the term along x_hat stays.",
            "Forward: s = 1/√(mean of x² + eps), keepdims. Backward, with g = gamma dy: from g take x_hat times "
            "mean(g x_hat), then times s; dweight sums dy x_hat over all positions.",
        ),
        points=3,
        needs=("6.1",),
    ),
    Exercise(
        "6.6",
        "Layer norm",
        "Write layer norm, with what its backward will need.",
        ("layer_norm",),
        functions_of("layer_norm"),
        formula("layer_norm"),
        (
            "Mean and variance run over the H numbers of each token: last axis, keepdims=True.",
            "The variance is a plain mean of squares, divided by H; eps is added to it before the root is taken.",
            "Return three things: y, x_hat, and 1 over the root; x_hat is the centred x times that.",
        ),
        points=2,
        closed=functions_of("residual_norm"),
    ),
    Exercise(
        "7.1",
        "GELU, backward",
        "Write the slope of GELU.",
        ("gelu_backward",),
        functions_of("gelu_backward"),
        formula("gelu"),
        (
            "y = x Φ(x): x stands there twice. Product rule.",
            "The slope of Φ is the bell curve φ, exp(-x²/2) over the root of 2π. F.normal_cdf and F.normal_pdf are "
            "there.",
            "Φ(x) plus x times φ(x), and dy times all of it.",
        ),
        closed=functions_of("gelu_feed_forward_backward"),
    ),
    Exercise(
        "7.2",
        "The feed-forward network",
        "Write forward and backward of two linear maps with GELU between them.",
        ("feed_forward", "feed_forward_backward"),
        {"feed_forward": blocks.feed_forward, "feed_forward_backward": blocks.feed_forward_backward},
        formula("feed_forward"),
        (
            "Three steps forward, and the same three backward in reverse order.",
            "The second map read gelu(u), not u; and the slope of GELU is taken at u, which is why the forward returns "
            "it.",
            "F.linear_backward of dy with gelu(u) and W2; F.gelu_backward of what comes out, at u; F.linear_backward "
            "of that with x and W1. The order of the answer is dx, dW1, db1, dW2, db2.",
        ),
        points=2,
        needs=("3.5", "7.1"),
        closed=functions_of("gelu_feed_forward", "gelu_feed_forward_backward"),
    ),
    Exercise(
        "7.4",
        "Quick GELU",
        "Write x σ(1.702 x) and its slope.",
        ("quick_gelu", "quick_gelu_backward"),
        {"quick_gelu": stubs.quick_gelu, "quick_gelu_backward": stubs.quick_gelu_backward},
        QUICK_GELU,
        (
            "A product again, as with GELU; the second factor is σ(1.702 x). F.sigmoid overflows for no x.",
            "σ has the slope σ (1 - σ), and inside it stands 1.702 x, which has a slope as well.",
            "With s = σ(1.702 x): s, plus x times the slope of s by x, which has three factors; dy times all of it.",
        ),
        points=2,
        needs=("7.1",),
    ),
    Exercise(
        "7.6",
        "GELU",
        "Write GELU, the one of the published checkpoints.",
        ("gelu",),
        functions_of("gelu"),
        formula("gelu"),
        (
            "Φ is the share of the normal distribution below x. F.normal_cdf has it, or scipy.special.erf.",
            "If you take erf: its argument is x/√2, and from -1..1 it has to be brought to 0..1.",
            "One line: x times Φ of x.",
        ),
        closed=functions_of("gelu_feed_forward"),
    ),
    Exercise(
        "7.7",
        "SwiGLU",
        "Write the gated unit that newer models have in place of GELU, and its backward.",
        ("swiglu", "swiglu_backward"),
        {"swiglu": stubs.swiglu, "swiglu_backward": stubs.swiglu_backward},
        SWIGLU,
        (
            "y is a product of two maps of x; one goes through silu first. Give both maps names, a = x Gᵀ and b = x "
            "Wᵀ.",
            "da = dy b times silu's slope at a (F.silu_backward has it), db = dy silu(a). Then two linear maps.",
            "x is read by both maps: dx = da G + db W. dG and dW are products over all positions, as in chapter 03.",
        ),
        points=3,
        needs=("3.5", "7.4"),
    ),
    Exercise(
        "8.1",
        "Dropout",
        "Write dropout and its backward, with the mask handed in.",
        ("dropout", "dropout_backward"),
        functions_of("dropout", "dropout_backward"),
        formula("dropout"),
        (
            "What is kept is made larger, so that the expected value stays. By how much?",
            "A share 1 - p is kept, so what is kept is divided by that. With keep None nothing happens.",
            "The backward is the forward's rule for dy: the same mask, the same division.",
        ),
        closed=functions_of("residual_norm", "residual_norm_backward"),
    ),
    Exercise(
        "8.2",
        "Add and norm, backward",
        "Write the backward of LayerNorm(r + drop(x + b)).",
        ("residual_norm_backward",),
        functions_of("residual_norm_backward"),
        formula("residual_norm"),
        (
            "From the outside in: the norm, the sum, the dropout, the offset.",
            "A sum hands its gradient to both its summands; only one of the two ways leads through the dropout.",
            "F.layer_norm_backward gives dr and the two weights' gradients; F.dropout_backward of dr gives dx; db sums "
            "dx over all positions. Mind the order of the answer.",
        ),
        points=2,
        needs=("6.1", "8.1"),
    ),
    Exercise(
        "8.6",
        "Pre-norm, backward",
        "Write the backward of x + f(LayerNorm(x)), f a linear map.",
        ("pre_norm_backward",),
        {"pre_norm_backward": stubs.pre_norm_backward},
        PRE_NORM,
        (
            "Two paths lead from x to y: straight through, and by way of norm and map.",
            "The branch needs n, x_hat and inv_std again: call F.layer_norm once more, they were not kept.",
            "F.linear_backward of dy with n, then F.layer_norm_backward of what it gives for n; to that dx comes dy.",
        ),
        points=2,
        needs=("6.1",),
    ),
]
