"""One list of cases for every formula: small inputs on which a wrong formula cannot look right.

A case rule is a lesson: means hide behind equal sizes, a missing γ behind γ = 1, a lost sum behind ids without
repeats, and a zero gradient behind a loss that sums to a constant. test_case_rules.py holds the cases to them.
"""

import inspect
import math
import zlib
from dataclasses import dataclass, field

import numpy as np

import bertnp.functional  # noqa: F401  (declares the formulas)
from bertnp.backend import FORMULAS, is_array

B, S, K, A, D = 2, 5, 7, 3, 4  # sequences, queries, keys, heads, head size: no two alike

FORWARD_ONLY = {"adamw", "clip_scale"}
OUTPUTS = {
    "attention": ("y", "probabilities"),
    "layer_norm": ("y", "x_hat", "inv_std"),
    "residual_norm": ("y", "x_hat", "inv_std"),
    "gelu_feed_forward": ("y", "u"),
    "cross_entropy": ("loss", "log_p"),
    "weighted_cross_entropy": ("loss", "log_p"),
    "binary_cross_entropy": ("loss",),
    "weighted_binary_cross_entropy": ("loss",),
    "mean_squared_error": ("loss",),
    "adamw": ("parameter", "mean", "variance"),
    "clip_scale": ("scale", "norm"),
}  # names of what a formula returns; where there is none: ("y",)
SIZES = {
    "merge_heads": {"heads": lambda arguments: arguments["x"].shape[1]},
    "gather_rows": {"n": lambda arguments: arguments["x"].shape[0]},
}  # what a backward takes that its forward neither takes nor returns


@dataclass(frozen=True)
class Case:
    """Arguments of one call of a formula, in double precision, and which of them its backward gives gradients of."""

    formula: str
    label: str
    arguments: dict
    wrt: tuple
    step: dict = field(default_factory=dict)  # name -> the step of central differences, where the usual one is too long
    frozen_row: int | None = None  # a row of the table that learns nothing, although the output depends on it
    undefined_in_torch: bool = False

    def __str__(self):
        return f"{self.formula}-{self.label}".replace(" ", "_")

    def rng(self):
        return np.random.default_rng(zlib.crc32(str(self).encode()))

    def cotangent(self, dtype=np.float64):
        """A random gradient of the first output: never ones, under which a softmax's gradient vanishes."""
        y = first(self.call(self.arguments))
        dy = self.rng().normal(size=np.shape(y)) * 1.7
        return float(dy) if np.ndim(y) == 0 else dy.astype(dtype)

    def call(self, arguments, body=None):
        return (body or FORMULAS[self.formula])(**arguments)

    def outputs(self, result):
        """The formula's outputs by name."""
        return dict(zip(output_names(self.formula), as_tuple(result), strict=True))

    def call_backward(self, dy, arguments, result, body=None):
        """The gradients of the inputs by name, from what the forward took and returned."""
        backward = body or FORMULAS[f"{self.formula}_backward"]
        known = {**arguments, **self.outputs(result)}
        known |= {name: size(arguments) for name, size in SIZES.get(self.formula, {}).items()}
        parameters = list(inspect.signature(backward).parameters)[1:]
        gradients = as_tuple(backward(dy, **{name: known[name] for name in parameters if name in known}))
        return dict(zip(self.wrt, gradients, strict=True))

    def arguments_as(self, convert):
        """The arguments with every float array converted; ids, labels and masks stay as they are."""
        return {k: convert(v) if is_array(v) and v.dtype.kind == "f" else v for k, v in self.arguments.items()}


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


def first(result):
    return as_tuple(result)[0]


def output_names(formula):
    return OUTPUTS.get(formula, ("y",))


def case(formula, label, wrt, arguments, **more):
    return Case(formula, label, arguments, tuple(wrt.split()), **more)


def _cases():
    rng = np.random.default_rng(20260)
    normal = lambda *shape, scale=1.0: rng.normal(size=shape) * scale  # noqa: E731

    # the linear map

    weight, bias = normal(D, 3), normal(D)
    yield case("linear", "batch", "x weight bias", {"x": normal(B, S, 3), "weight": weight, "bias": bias})
    yield case("linear", "rows", "x weight bias", {"x": normal(K, 3), "weight": weight, "bias": bias})

    # activations: ordinary values, and far out on both sides

    x = normal(B, S, 3, scale=1.5)
    x[0, 0] = [2.7, -2.7, 0.1]  # where the GELUs differ most
    far = np.array([[-80.0, -30.0, -9.0, -5.0, -1e-3], [1e-3, 4.0, 8.0, 20.0, 80.0]])
    for name in ("gelu", "gelu_new", "gelu_fast", "relu", "sigmoid", "silu", "tanh"):
        yield case(name, "ordinary", "x", {"x": x})
        yield case(name, "far out", "x", {"x": far})

    # softmax: ordinary, and logits so large that exp overflows unless the largest is subtracted first

    large = np.array(
        [[80.0, 79.0, -80.0, 78.5, 0.0], [-80.0, -80.5, -79.0, -800.0, -81.0], [800.0, 801.0, 1.0, 2.0, 3.0]]
    )
    for name in ("softmax", "log_softmax"):
        yield case(name, "ordinary", "x", {"x": normal(B, 3, S, scale=2.0)})
        yield case(name, "large logits", "x", {"x": large})

    scores = normal(B, A, S, K, scale=2.0)
    keys = np.ones((B, 1, 1, K), bool)
    keys[1, ..., 4] = False  # one padded key, in one sequence
    pairs = rng.random((B, 1, S, K)) < 0.6
    pairs[..., 0] = True
    pairs[1, 0, 2] = False  # a query that may read nothing
    yield case("masked_softmax", "no mask", "x", {"x": scores})
    yield case("masked_softmax", "a padded key", "x", {"x": scores, "mask": keys})
    yield case("masked_softmax", "a row without keys", "x", {"x": scores, "mask": pairs})
    yield case("masked_softmax", "large logits", "x", {"x": large, "mask": large < 801})

    # attention

    qkv = {"query": normal(B, A, S, D), "key": normal(B, A, K, D), "value": normal(B, A, K, D)}
    keep = rng.random((B, A, S, K)) >= 0.25
    yield case("attention", "no mask", "query key value", qkv)
    yield case("attention", "a padded key", "query key value", {**qkv, "mask": keys})
    yield case("attention", "a row without keys", "query key value", {**qkv, "mask": pairs})
    yield case("attention", "mask and dropout", "query key value", {**qkv, "mask": pairs, "keep": keep, "p": 0.25})
    steep = {**qkv, "query": qkv["query"] * 12, "key": qkv["key"] * 3}
    yield case("attention", "large logits", "query key value", {**steep, "mask": keys})

    yield case("split_heads", "batch", "x", {"x": normal(B, S, A * D), "heads": A})
    yield case("merge_heads", "batch", "x", {"x": normal(B, A, S, D)})
    yield case("mask_heads", "rows", "x head_mask", {"x": normal(K, A * D), "head_mask": normal(K, A) + 1.3})

    # layer normalisation: γ is not 1, β not 0

    gamma, beta = 1.5 + 0.5 * normal(D), normal(D)
    affine = {"weight": gamma, "bias": beta}
    yield case("layer_norm", "batch", "x weight bias", {"x": normal(B, S, D) * 2 + 0.7, **affine})
    yield case("layer_norm", "rows and a large eps", "x weight bias", {"x": normal(K, D), **affine, "eps": 0.1})
    # a variance near ε = 1e-12 tells where ε stands; the gradient is then a million times steeper, hence the short step
    yield case(
        "layer_norm", "near constant", "x weight bias", {"x": normal(3, D, scale=1e-6), **affine}, step={"x": 1e-12}
    )

    # dropout

    x = normal(B, S, 3)
    yield case("dropout", "off", "x", {"x": x})
    yield case("dropout", "a quarter dropped", "x", {"x": x, "keep": rng.random(x.shape) >= 0.25, "p": 0.25})

    # tables and rows: one id stands there three times, one twice, some never

    ids = np.array([[3, 1, 3, 0, 6], [1, 3, 5, 0, 0]])
    table = normal(9, 4)
    yield case("embedding", "repeated ids", "table", {"ids": ids, "table": table})
    yield case("embedding", "a padding id", "table", {"ids": ids, "table": table, "padding_idx": 0}, frozen_row=0)
    yield case("embedding", "one sequence", "table", {"ids": ids[0], "table": table})
    index = np.array([5, 0, 3])
    yield case("gather_rows", "rows", "x", {"x": normal(K, D), "index": index})
    yield case("scatter_rows", "rows", "x", {"x": normal(3, D), "index": index, "n": K})

    # sines and cosines: a position that comes twice, and a far one

    places = np.array([[0, 1, 2, 3, 4], [9, 3, 3, 0, 40]])
    yield case("positional_encoding", "sequences", "x", {"x": normal(B, S, D), "positions": places})
    yield case("positional_encoding", "an odd size", "x", {"x": normal(S, 3), "positions": places[1]})

    # losses: 10 rows, 3 of them labelled, 6 classes

    logits = normal(B * S, 6, scale=2.0)
    labels = np.full(B * S, -100)
    labels[[1, 4, 8]] = [5, 0, 2]
    few = {"logits": logits, "labels": labels}
    yield case("cross_entropy", "three labelled", "logits", few)
    yield case("cross_entropy", "label smoothing", "logits", {**few, "label_smoothing": 0.1})
    every = np.array([0, 1, 5, 2, 0, 3, 4, 1, 1, 5])
    yield case("cross_entropy", "all labelled", "logits", {"logits": logits, "labels": every})
    yield case("cross_entropy", "class 1 ignored", "logits", {"logits": logits, "labels": every, "ignore_index": 1})
    nothing = {"logits": logits, "labels": np.full(B * S, -100), "label_smoothing": 0.1}
    yield case("cross_entropy", "none labelled", "logits", nothing, undefined_in_torch=True)
    yield case("cross_entropy", "large logits", "logits", {"logits": large, "labels": np.array([0, 1, -100])})

    weights = np.array([0.5, 2.0, 1.0, 3.0, 0.25, 1.5])
    weighted = {**few, "class_weights": weights}
    yield case("weighted_cross_entropy", "three labelled", "logits", weighted)
    yield case("weighted_cross_entropy", "label smoothing", "logits", {**weighted, "label_smoothing": 0.1})
    ignored = {"logits": logits, "labels": every, "class_weights": weights, "ignore_index": 1}
    yield case("weighted_cross_entropy", "class 1 ignored", "logits", ignored)
    large = {"logits": large, "labels": np.array([0, 1, -100]), "class_weights": weights[: large.shape[1]]}
    yield case("weighted_cross_entropy", "large logits", "logits", large)

    targets = rng.random((B, S))
    targets[0, :2] = [0, 1]
    yield case("binary_cross_entropy", "batch", "logits", {"logits": normal(B, S, scale=2.0), "targets": targets})
    hard = (rng.random(far.shape) < 0.5) * 1.0
    hard[0, 0], hard[1, 4] = 1, 0  # wrong as can be
    yield case("binary_cross_entropy", "large logits", "logits", {"logits": far, "targets": hard})
    weights = np.array([0.5, 2.0, 1.0, 3.0, 0.25])
    arguments = {"logits": normal(B, S, scale=2.0), "targets": targets, "positive_weights": weights}
    yield case("weighted_binary_cross_entropy", "batch", "logits", arguments)
    arguments = {"logits": far, "targets": hard, "positive_weights": weights}
    yield case("weighted_binary_cross_entropy", "large logits", "logits", arguments)
    predictions = {"predictions": normal(B, S), "targets": normal(B, S)}
    yield case("mean_squared_error", "batch", "predictions", predictions)

    # the optimiser's step

    n = 11
    state = {"parameter": normal(n), "gradient": normal(n), "mean": normal(n) * 0.1, "variance": rng.random(n)}
    state["gradient"][3] = state["mean"][3] = state["variance"][3] = 0  # a row of the table that was never read
    rates = {"step": 3, "lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-6, "weight_decay": 0.05}
    yield case("adamw", "corrected", "", {**state, **rates})
    yield case("adamw", "as BERT was trained", "", {**state, **rates, "bias_correction": False})
    yield case("adamw", "clipped", "", {**state, **rates, "scale": 0.3})
    yield case("adamw", "no decay", "", {**state, **rates, "weight_decay": 0.0, "step": 1})
    yield case("clip_scale", "too long", "", {"gradient": normal(n, scale=3.0), "max_norm": 1.0})
    yield case("clip_scale", "short enough", "", {"gradient": normal(n, scale=0.1), "max_norm": 1.0, "eps": 0.0})
    yield case("clip_scale", "zero", "", {"gradient": np.zeros(n), "max_norm": 1.0})


def _cases_of_steps():
    """Of formulas that put others together."""
    rng = np.random.default_rng(20261)
    normal = lambda *shape, scale=1.0: rng.normal(size=shape) * scale  # noqa: E731

    yield case("product", "batch", "x weight", {"x": normal(B, S, 3), "weight": normal(D, 3)})

    # two sequences, packed: 2 queries on 7 keys, then 5 on 5

    lengths = {"query_lengths": np.array([2, 5]), "lengths": np.array([7, 5]), "heads": A}
    rows = {"query": normal(7, A * D), "key": normal(12, A * D), "value": normal(12, A * D)}
    packed = {**rows, **lengths}
    hidden = np.ones((B, 1, 7), bool)
    hidden[0, 0, 4] = False  # one key that nobody reads
    chosen = rng.random((B, 5, 7)) < 0.6
    chosen[..., 0] = True
    chosen[1, 2] = False  # a query that may read nothing
    drop = {"keep": rng.random((B, A, 5, 7)) >= 0.25, "p": 0.25}
    steep = {"query": rows["query"] * 12, "key": rows["key"] * 3}
    yield case("packed_attention", "no mask", "query key value", packed)
    yield case("packed_attention", "a hidden key", "query key value", {**packed, "mask": hidden})
    yield case("packed_attention", "mask and dropout", "query key value", {**packed, "mask": chosen, **drop})
    yield case("packed_attention", "large logits", "query key value", {**packed, **steep, "mask": chosen})
    even = {"query_lengths": np.array([4, 4]), "lengths": np.array([6, 6]), "query": normal(8, A * D)}
    yield case("packed_attention", "sequences of one length", "query key value", {**packed, **even})

    # the steps of an encoder layer; γ is not 1, no bias 0

    parts = {"x": normal(B, S, 3), "weight1": normal(D, 3), "bias1": normal(D), "weight2": normal(3, D)}
    yield case("gelu_feed_forward", "batch", "x weight1 bias1 weight2", parts)
    rows = {**parts, "x": normal(K, 3)}
    yield case("gelu_feed_forward", "rows", "x weight1 bias1 weight2", rows)
    sums = {"x": normal(B, S, D) * 2, "bias": normal(D), "residual": normal(B, S, D) + 0.7}
    sums |= {"norm_weight": 1.5 + 0.5 * normal(D), "norm_bias": normal(D)}
    wrt = "x bias residual norm_weight norm_bias"
    yield case("residual_norm", "no dropout", wrt, sums)
    drop = {"keep": rng.random((B, S, D)) >= 0.25, "p": 0.25}
    yield case("residual_norm", "a quarter dropped and a large eps", wrt, {**sums, **drop, "eps": 0.1})


CASES = [*_cases(), *_cases_of_steps()]
PAIRED_CASES = [case for case in CASES if case.formula not in FORWARD_ONLY]


def cases_of(formula):
    return [case for case in CASES if case.formula == formula]


def is_coprime(*numbers):
    return all(math.gcd(a, b) == 1 for i, a in enumerate(numbers) for b in numbers[i + 1 :])
