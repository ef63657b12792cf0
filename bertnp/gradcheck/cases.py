"""Small inputs for every pair of formulas, on which a wrong gradient cannot look right.

Sizes differ and share no factor, so that a mean over one axis is no mean over another and a transpose does not fit.
γ is not 1 and no bias is 0. One id stands there three times, others never. One key is masked, and one query may read
none. Few rows are labelled. Some logits are so large that exp overflows. One row is almost constant, where ε counts;
there a difference is off by a hundredth and the complex step is the judge.
"""

import functools
import inspect
from dataclasses import dataclass, field

import numpy as np

from bertnp.backend import FORMULAS, array_module, backend_of, is_array, to
from bertnp.gradcheck.blocks import BLOCKS

B, S, K, A, D = 3, 5, 7, 2, 11  # sequences, queries, keys, heads, head size
H, M, V, C = 4, 7, 13, 7  # hidden size, another size, words, classes
N = 4  # labelled rows of the B S
SHORT = 1e-5  # a step for steep places, where the usual one grows with |x|

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
    "feed_forward": ("y", "u"),
    "adamw": ("parameter", "mean", "variance"),
    "clip_scale": ("scale", "norm"),
}  # names of what a formula returns, where it is not just y
SIZES = {
    "merge_heads": {"heads": lambda arguments: arguments["x"].shape[1]},
    "gather_rows": {"n": lambda arguments: arguments["x"].shape[0]},
}  # what a backward takes that its forward neither takes nor returns


@dataclass(frozen=True)
class Case:
    """Arguments of one call of a formula.

    wrt: which of them its backward gives gradients of, in order   shapes: names of their axes
    h: the step for differences, None for the usual one   complex_only: a difference is no judge here
    must: elements to look at whatever the sample is   numbers: factors that may get lost, by name
    held_row: a row of the table that learns nothing by definition, although the output depends on it
    """

    formula: str
    label: str
    arguments: dict = field(repr=False)
    wrt: tuple
    shapes: dict = field(default_factory=dict, repr=False)
    h: float = None
    complex_only: bool = False
    must: dict = field(default_factory=dict, repr=False)
    numbers: dict = field(default_factory=dict, repr=False)
    held_row: int = None

    def forward(self, arguments, body=None):
        """The outputs as a tuple."""
        result = (body or forward_of(self.formula))(**arguments)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)

    def slope_forward(self, body=None):
        """The function whose derivative the backward is: the forward, with the held row held."""

        def forward(**arguments):
            if self.held_row is not None:
                table = arguments["table"]
                rows = array_module(table).arange(len(table))[:, None] == self.held_row
                held = to(self.arguments["table"], backend_of(table))
                arguments["table"] = array_module(table).where(rows, held.astype(table.dtype), table)
            return self.forward(arguments, body)

        return forward

    def backward(self, g, arguments, body=None, forward=None):
        """The gradients by name, from what the forward took and returned."""
        defaults = parameters_of(forward_of(self.formula))
        known = {p.name: p.default for p in defaults if p.default is not p.empty} | arguments
        known |= dict(zip(output_names(self.formula), self.forward(arguments, forward), strict=True))
        known |= {name: size(arguments) for name, size in SIZES.get(self.formula, {}).items()}
        own = [p.name for p in parameters_of(backward_of(self.formula))[1:]]
        own = {name: known[name] for name in own if name in known}
        gradients = call_by_name_or_place(body or backward_of(self.formula), g, own, known)
        if isinstance(gradients, dict):
            return gradients
        gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
        if len(gradients) != len(self.wrt):
            wanted = ", ".join(f"d{name}" for name in self.wrt)
            raise ValueError(f"it returned {len(gradients)} values, expected {len(self.wrt)}: {wanted}")
        return dict(zip(self.wrt, gradients, strict=True))


@functools.lru_cache(maxsize=256)
def parameters_of(function):
    """The parameters of a function, as inspect has them."""
    return tuple(inspect.signature(function).parameters.values())


def call_by_name_or_place(function, g, own, known):
    """function(g, …): by name where it uses names that are known here, else in the order of the library's own."""
    parameters = parameters_of(function)[1:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if all(p.name in known or p.default is not p.empty for p in named) and len(named) == len(parameters):
        return function(g, **{p.name: known[p.name] for p in named if p.name in known})
    return function(g, *own.values())


def forward_of(name):
    return BLOCKS[name][0] if name in BLOCKS else FORMULAS[name]


def backward_of(name):
    return BLOCKS[name][1] if name in BLOCKS else FORMULAS[f"{name}_backward"]


def output_names(name):
    return OUTPUTS.get(name, ("y",))


def has_backward(name):
    return name in BLOCKS or f"{name}_backward" in FORMULAS


def names():
    """Every formula and block that there are cases for."""
    return list(CASES)


def cases(name, seed=0):
    """The cases of a formula, drawn anew for each seed; the richest comes first. Raises ValueError for other names."""
    if name not in CASES:
        raise ValueError(f"there is no formula {name!r}; known: {', '.join(CASES)}")
    return list(CASES[name](name, np.random.default_rng([seed, len(name), *name.encode()])))


def away_from_zero(x, least=0.1):
    """x with every number moved outwards: no kink nearby, no accidental zero."""
    return x + np.where(x < 0, -least, least)


def _linear(name, rng):
    arguments = {"x": rng.normal(size=(B, S, H)), "weight": rng.normal(size=(M, H)), "bias": rng.normal(size=M)}
    shapes = {"x": "B S n", "weight": "m n", "bias": "m"}
    yield Case(name, "sequences", arguments, ("x", "weight", "bias"), shapes)


def _product(name, rng):
    arguments = {"x": rng.normal(size=(B, S, H)), "weight": rng.normal(size=(M, H))}
    yield Case(name, "sequences", arguments, ("x", "weight"), {"x": "B S n", "weight": "m n"})


def _activation(name, rng):
    yield Case(name, "ordinary", {"x": away_from_zero(rng.normal(size=(B, S, H)) * 1.5)}, ("x",), {"x": "B S n"})
    far = np.array([[-80.0, -30.0, -9.0, -5.0, -1.0], [1.0, 4.0, 8.0, 20.0, 80.0]])
    yield Case(name, "far out", {"x": far + rng.uniform(-0.5, 0.5, far.shape)}, ("x",), {"x": "B n"}, h=SHORT)


def _large_logits(rng):
    logits = np.array([[800.0, 799.0, 0.0, 798.5, -800.0], [-80.0, -80.5, -79.0, -8.0, -7.0], [80.0, 81.0, 79, 0, -80]])
    return logits + rng.normal(size=logits.shape) * 0.3


def _softmax(name, rng):
    yield Case(name, "ordinary", {"x": rng.normal(size=(B, S, K)) * 2.0}, ("x",), {"x": "B S n"})
    yield Case(name, "large logits", {"x": _large_logits(rng)}, ("x",), {"x": "B n"}, h=SHORT)


def _masks(rng):
    """(B, 1, 1, K) with one masked key, and (B, 1, S, K) with a query that may read none."""
    keys = np.ones((B, 1, 1, K), bool)
    keys[1, ..., 4] = False
    pairs = rng.random((B, 1, S, K)) < 0.6
    pairs[..., 0] = True
    pairs[1, 0, 2] = False
    return keys, pairs


def _masked_softmax(name, rng):
    keys, pairs = _masks(rng)
    x = rng.normal(size=(B, A, S, K)) * 2.0
    shapes = {"x": "B A S K"}
    yield Case(name, "a row without keys", {"x": x, "mask": pairs}, ("x",), shapes, must={"x": [(1, 0, 2)]})
    yield Case(name, "a masked key", {"x": x, "mask": keys}, ("x",), shapes, must={"x": [(1, 1, 0, 4)]})
    yield Case(name, "no mask", {"x": x}, ("x",), shapes)
    large = _large_logits(rng)
    yield Case(name, "large logits", {"x": large, "mask": large < 799.5}, ("x",), {"x": "B n"}, h=SHORT)


def _attention(name, rng):
    keys, pairs = _masks(rng)
    arguments = {"query": rng.normal(size=(B, A, S, D))}
    arguments |= {"key": rng.normal(size=(B, A, K, D)), "value": rng.normal(size=(B, A, K, D))}
    wrt = tuple(arguments)
    shapes = {"query": "B A S D", "key": "B A K D", "value": "B A K D"}
    keep = {"keep": rng.random((B, A, S, K)) >= 0.25, "p": 0.25}
    must = {"query": [(1, 0, 2)]}
    yield Case(name, "mask and dropout", {**arguments, "mask": pairs, **keep}, wrt, shapes, must=must)
    yield Case(name, "a row without keys", {**arguments, "mask": pairs}, wrt, shapes, must=must)
    yield Case(name, "a masked key", {**arguments, "mask": keys}, wrt, shapes, must={"key": [(1, 0, 4)]})
    yield Case(name, "no mask", arguments, wrt, shapes)
    scores = arguments["query"] @ arguments["key"].swapaxes(-1, -2) / np.sqrt(D)
    steep = {**arguments, "query": arguments["query"] * (90.0 / np.abs(scores).max())}
    yield Case(name, "large logits", {**steep, "mask": keys}, wrt, shapes, h=SHORT / 3)


def _packed_attention(name, rng):
    """Sequences of 2, 5 and 1 queries on 7, 5 and 6 keys."""
    lengths = {"query_lengths": np.array([2, 5, 1]), "lengths": np.array([7, 5, 6]), "heads": A}
    arguments = {n: rng.normal(size=(rows, A * D)) for n, rows in (("query", 8), ("key", 18), ("value", 18))}
    wrt, shapes = tuple(arguments), {"query": "R H", "key": "T H", "value": "T H"}
    mask = rng.random((B, S, K)) < 0.6
    mask[..., 0] = True
    mask[1, 2] = False  # the third query of the second sequence may read nothing
    keep = {"keep": rng.random((B, A, S, K)) >= 0.25, "p": 0.25}
    arguments |= lengths
    yield Case(name, "mask and dropout", {**arguments, "mask": mask, **keep}, wrt, shapes, must={"query": [(4,)]})
    keys = np.ones((B, 1, K), bool)
    keys[1, 0, 4] = False
    yield Case(name, "a masked key", {**arguments, "mask": keys}, wrt, shapes, must={"key": [(11,)]})
    yield Case(name, "no mask", arguments, wrt, shapes)


def _split_heads(name, rng):
    yield Case(name, "sequences", {"x": rng.normal(size=(B, S, A * D)), "heads": A}, ("x",), {"x": "B S H"})


def _merge_heads(name, rng):
    yield Case(name, "sequences", {"x": rng.normal(size=(B, A, S, D))}, ("x",), {"x": "B A S D"})


def _mask_heads(name, rng):
    arguments = {"x": rng.normal(size=(B * S, A * D)), "head_mask": rng.normal(size=(B * S, A)) + 1.3}
    yield Case(name, "rows", arguments, ("x", "head_mask"), {"x": "T H", "head_mask": "T A"})


def _layer_norm(name, rng):
    affine = {"weight": away_from_zero(rng.normal(size=H)) + 1.7, "bias": away_from_zero(rng.normal(size=H))}
    wrt, shapes = ("x", "weight", "bias"), {"x": "B S H", "weight": "H", "bias": "H"}
    x = np.zeros((B, S, H))
    while (x.std(axis=-1) < 0.5).any():  # rows that are nearly constant have their own case
        x = rng.normal(size=(B, S, H)) * 2.0 + 0.7
    yield Case(name, "sequences", {"x": x, **affine}, wrt, shapes)
    yield Case(name, "a large eps", {"x": x, **affine, "eps": 0.1}, wrt, shapes)
    flat = 0.7 + 1e-5 * (x - x.mean(axis=-1, keepdims=True)) / x.std(axis=-1, keepdims=True)  # variance 1e-10
    yield Case(name, "almost constant", {"x": flat, **affine}, wrt, shapes, complex_only=True)


def _gelu_feed_forward(name, rng):
    draw = rng.normal
    arguments = {"x": draw(size=(B, S, H)), "weight1": draw(size=(M, H)) * 0.7, "bias1": draw(size=M)}
    arguments |= {"weight2": draw(size=(H, M)) * 0.7}
    shapes = {"x": "B S H", "weight1": "I H", "bias1": "I", "weight2": "H I"}
    yield Case(name, "sequences", arguments, tuple(arguments), shapes)


def _residual_norm(name, rng):
    arguments = {"x": rng.normal(size=(B, S, H)), "bias": away_from_zero(rng.normal(size=H))}
    arguments |= {"residual": rng.normal(size=(B, S, H)) * 2.0 + 0.7}
    arguments |= {"norm_weight": away_from_zero(rng.normal(size=H)) + 1.7, "norm_bias": rng.normal(size=H)}
    wrt = tuple(arguments)
    shapes = {"x": "B S H", "residual": "B S H", **dict.fromkeys(("bias", "norm_weight", "norm_bias"), "H")}
    keep = rng.random((B, S, H)) >= 0.25
    keep[0, 0, :2] = [True, False]
    yield Case(name, "a quarter dropped", {**arguments, "keep": keep, "p": 0.25, "eps": 0.1}, wrt, shapes)
    yield Case(name, "no dropout", {**arguments, "eps": 0.1}, wrt, shapes)


def _dropout(name, rng):
    x = away_from_zero(rng.normal(size=(B, S, H)))
    keep = rng.random(x.shape) >= 0.25
    keep[0, 0, :2] = [True, False]
    shapes = {"x": "B S H"}
    yield Case(name, "a quarter dropped", {"x": x, "keep": keep, "p": 0.25}, ("x",), shapes)
    yield Case(name, "off", {"x": x}, ("x",), shapes)


def _ids(rng):
    """(B, S) ids of 13 words: one three times, one twice, 0 (the padding word) three times, some never."""
    chosen = rng.permutation(np.arange(1, V))[:10]
    ids = np.concatenate([[0] * 3, [chosen[0]] * 3, [chosen[1]] * 2, chosen[2:9]])
    return rng.permutation(ids).reshape(B, S)


def _embedding(name, rng):
    ids, table = _ids(rng), rng.normal(size=(V, H))
    counts = np.bincount(ids.reshape(-1), minlength=V)
    must = {"table": [(int(counts.argmax()),), (int(counts.argmin()),), (0,)]}
    arguments, shapes = {"ids": ids, "table": table}, {"table": "V H"}
    yield Case(name, "repeated ids", arguments, ("table",), shapes, must=must)
    yield Case(name, "a padding id", {**arguments, "padding_idx": 0}, ("table",), shapes, must=must, held_row=0)


def _positional_encoding(name, rng):
    positions = np.stack([rng.permutation(9)[:S] for _ in range(B)])
    shapes = {"x": "B S H"}
    yield Case(name, "sequences", {"x": rng.normal(size=(B, S, H)), "positions": positions}, ("x",), shapes)
    yield Case(name, "an odd size", {"x": rng.normal(size=(B, S, D)), "positions": positions}, ("x",), shapes)


def _unsorted(rng):
    """Three of the row numbers 1 to 6, not in order."""
    index = rng.permutation(np.arange(1, K))[:3]
    return index if (np.diff(index) < 0).any() else index[::-1].copy()


def _gather_rows(name, rng):
    index = _unsorted(rng)
    yield Case(name, "rows", {"x": rng.normal(size=(K, H)), "index": index}, ("x",), {"x": "n H"})


def _scatter_rows(name, rng):
    index = _unsorted(rng)
    yield Case(name, "rows", {"x": rng.normal(size=(3, H)), "index": index, "n": K}, ("x",), {"x": "m H"})


def _cross_entropy(name, rng):
    logits = rng.normal(size=(B * S, C)) * 2.0
    labels = np.full(B * S, -100)
    rows = np.sort(rng.permutation(B * S)[:N])
    labels[rows] = [5, 0, 2, 6]
    few, shapes = {"logits": logits, "labels": labels}, {"logits": "n C"}
    must = {"logits": [(int(rows[0]),), (int(np.flatnonzero(labels < 0)[0]),)]}
    numbers = {f"N/n = {N}/{B * S}": N / (B * S), "1/N": 1 / N}
    common = {"must": must, "numbers": numbers}
    yield Case(name, "few labelled", few, ("logits",), shapes, **common)
    yield Case(name, "label smoothing", {**few, "label_smoothing": 0.1}, ("logits",), shapes, **common)
    every = np.arange(B * S) % C
    yield Case(name, "class 1 ignored", {"logits": logits, "labels": every, "ignore_index": 1}, ("logits",), shapes)
    nothing = {"logits": logits, "labels": np.full(B * S, -100)}
    yield Case(name, "none labelled", nothing, ("logits",), shapes)
    large = {"logits": _large_logits(rng), "labels": np.array([0, 1, -100])}
    yield Case(name, "large logits", large, ("logits",), shapes, h=SHORT)


def _binary_cross_entropy(name, rng):
    targets = rng.random((B, S))
    targets[0, :2] = [0, 1]
    arguments = {"logits": away_from_zero(rng.normal(size=(B, S)) * 2.0), "targets": targets}
    yield Case(name, "batch", arguments, ("logits",), {"logits": "B C"})
    far = np.array([[-80.0, -30.0, 9.0, 5.0, -1.0], [1.0, -4.0, 8.0, 20.0, 80.0]]) + rng.uniform(-0.5, 0.5, (2, 5))
    hard = np.array([[1.0, 0, 0, 1, 1], [0, 1, 1, 0, 0]])  # some wrong as can be
    yield Case(name, "large logits", {"logits": far, "targets": hard}, ("logits",), {"logits": "B C"}, h=SHORT)


def _weighted_cross_entropy(name, rng):
    for case in list(_cross_entropy(name, rng))[:3]:
        weights = rng.uniform(0.3, 3.0, size=case.arguments["logits"].shape[1])
        arguments = {**case.arguments, "class_weights": weights}
        yield Case(name, case.label, arguments, ("logits",), {"logits": "n C", "class_weights": "C"}, must=case.must)


def _weighted_binary_cross_entropy(name, rng):
    shapes = {"logits": "B C", "positive_weights": "C"}
    for case in _binary_cross_entropy(name, rng):
        weights = rng.uniform(0.3, 3.0, size=case.arguments["logits"].shape[1])
        arguments = {**case.arguments, "positive_weights": weights}
        yield Case(name, case.label, arguments, ("logits",), shapes, h=case.h)


def _mean_squared_error(name, rng):
    arguments = {"predictions": rng.normal(size=(B, S)), "targets": rng.normal(size=(B, S))}
    yield Case(name, "batch", arguments, ("predictions",), {"predictions": "B C"})


def _residual(name, rng):
    arguments = {"x": rng.normal(size=(B, S, H)), "weight": rng.normal(size=(H, H)), "bias": rng.normal(size=H)}
    yield Case(name, "sequences", arguments, tuple(arguments), {"x": "B S H", "bias": "H"})


def _feed_forward(name, rng):
    draw = rng.normal
    arguments = {"x": draw(size=(B, S, H)), "weight1": draw(size=(M, H)) * 0.7, "bias1": draw(size=M)}
    arguments |= {"weight2": draw(size=(H, M)) * 0.7, "bias2": draw(size=H)}
    shapes = {"x": "B S H", "weight1": "I H", "bias1": "I", "weight2": "H I", "bias2": "H"}
    yield Case(name, "sequences", arguments, tuple(arguments), shapes)


def _pooler(name, rng):
    arguments = {"h": rng.normal(size=(B, S, H)), "weight": rng.normal(size=(H, H)) * 0.5, "bias": rng.normal(size=H)}
    yield Case(name, "sequences", arguments, tuple(arguments), {"h": "B S H", "bias": "H"})


def _add_positions(name, rng):
    arguments = {"words": rng.normal(size=(B, S, H)), "table": rng.normal(size=(M, H))}
    yield Case(name, "sequences", arguments, tuple(arguments), {"words": "B S H", "table": "M H"})


def _tied_table(name, rng):
    arguments = {"ids": _ids(rng).reshape(-1), "table": rng.normal(size=(V, H))}
    yield Case(name, "repeated ids", arguments, ("table",), {"table": "V H"})


def _adamw(name, rng):
    state = {n: rng.normal(size=M) for n in ("parameter", "gradient", "mean")} | {"variance": rng.random(M) * 0.1}
    for values in (state["gradient"], state["mean"], state["variance"]):
        values[3] = 0.0  # a row of a table that was never read
    rates = {"step": 3, "lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-3, "weight_decay": 0.05}
    yield Case(name, "corrected", {**state, **rates}, ())
    yield Case(name, "as BERT was trained", {**state, **rates, "bias_correction": False}, ())
    yield Case(name, "clipped", {**state, **rates, "scale": 0.3}, ())


def _clip_scale(name, rng):
    yield Case(name, "too long", {"gradient": 1.0 + rng.random(K), "max_norm": 1.5}, ())
    yield Case(name, "short enough", {"gradient": rng.random(K) * 0.1, "max_norm": 1.0}, ())


CASES = {
    "linear": _linear,
    "product": _product,
    **dict.fromkeys(("gelu", "gelu_new", "gelu_fast", "relu", "sigmoid", "silu", "tanh"), _activation),
    "softmax": _softmax,
    "log_softmax": _softmax,
    "masked_softmax": _masked_softmax,
    "attention": _attention,
    "packed_attention": _packed_attention,
    "split_heads": _split_heads,
    "merge_heads": _merge_heads,
    "mask_heads": _mask_heads,
    "layer_norm": _layer_norm,
    "gelu_feed_forward": _gelu_feed_forward,
    "residual_norm": _residual_norm,
    "dropout": _dropout,
    "embedding": _embedding,
    "positional_encoding": _positional_encoding,
    "gather_rows": _gather_rows,
    "scatter_rows": _scatter_rows,
    "cross_entropy": _cross_entropy,
    "weighted_cross_entropy": _weighted_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "weighted_binary_cross_entropy": _weighted_binary_cross_entropy,
    "mean_squared_error": _mean_squared_error,
    "residual": _residual,
    "feed_forward": _feed_forward,
    "pooler": _pooler,
    "add_positions": _add_positions,
    "tied_table": _tied_table,
    "adamw": _adamw,
    "clip_scale": _clip_scale,
}


def on_device(arguments, device, dtype=np.float64):
    """The arguments with float arrays of that type on that device; ids, labels and masks stay with the host."""

    def place(value):
        return to(value.astype(dtype), device) if is_array(value) and value.dtype.kind == "f" else value

    return {name: place(value) for name, value in arguments.items()}
