"""Mistakes that people make in the formulas of BERT, each as the code that makes it and a sentence for who made it.

A wrong gradient is compared with these on the same numbers. If it agrees to nine digits, the mistake is certain and
its sentence is what the student reads. A body takes what the library's backward takes, by name, and may ask for any
input or output of the forward; it returns all gradients, or {name: gradient} of the wrong ones alone.

The last part are wrong forwards. A gradient check cannot see those: their derivative may be perfectly right.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import bertnp.functional as F
from bertnp.gradcheck.cases import backward_of, parameters_of


@dataclass(frozen=True)
class Mistake:
    """A wrong body, and what to tell the one who wrote it.

    label: a few words, unique in its formula   part: "backward" or "forward"
    betrayed_by: where its numbers are random or right, the test of the check that fails, and words of its sentence
    """

    formula: str
    label: str
    body: Callable
    sentence: str
    part: str = "backward"
    betrayed_by: tuple = None

    def __str__(self):
        return f"{self.formula}: {self.label}"

    def plant(self):
        """A function with this mistake, to be called like the library's: a backward takes dy and then names."""
        if self.part == "forward":
            return self.body
        right = backward_of(self.formula)
        first, *rest = (p.name for p in parameters_of(right))
        own = parameters_of(self.body)
        names = [p.name for p in own[1:] if p.kind is not p.VAR_KEYWORD]
        if own[-1].kind is own[-1].VAR_KEYWORD:
            names += rest

        def backward(dy, **known):
            wrong = self.body(dy, **{name: known[name] for name in names if name in known})
            if not isinstance(wrong, dict):
                return wrong
            gradients = right(dy, **{name: known[name] for name in rest if name in known})
            return dict(zip(WRT[self.formula], _tuple(gradients), strict=True)) | wrong

        everything = list(dict.fromkeys([first, *rest, *names]))
        parameter = inspect.Parameter
        backward.__signature__ = inspect.Signature(
            [parameter(name, parameter.POSITIONAL_OR_KEYWORD, default=None) for name in everything]
        )
        return backward


WRT = {
    "linear": ("x", "weight", "bias"),
    "layer_norm": ("x", "weight", "bias"),
    "attention": ("query", "key", "value"),
    "packed_attention": ("query", "key", "value"),
    "mask_heads": ("x", "head_mask"),
    "product": ("x", "weight"),
    "gelu_feed_forward": ("x", "weight1", "bias1", "weight2"),
    "residual_norm": ("x", "bias", "residual", "norm_weight", "norm_bias"),
    "residual": ("x", "weight", "bias"),
    "feed_forward": ("x", "weight1", "bias1", "weight2", "bias2"),
    "pooler": ("h", "weight", "bias"),
    "add_positions": ("words", "table"),
}  # whose gradients a backward returns, where they are several


def _tuple(values):
    return tuple(values) if isinstance(values, (tuple, list)) else (values,)


# what the bodies below are written with


def total(x, axis=-1):
    return x.sum(axis=axis, keepdims=True)


def mean(x, axis=-1):
    return x.mean(axis=axis, keepdims=True)


def rows(x):
    return x.reshape(-1, x.shape[-1])


def turned(x):
    return x.swapaxes(-1, -2)


def phi(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def Phi(x):
    return F.normal_cdf(x)


def sigma(x):
    return 1.0 / (1.0 + np.exp(-x))


SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


def tanh_of(x, factor=SQRT_2_OVER_PI):
    return np.tanh(factor * (x + 0.044715 * x**3))


def tanh_slope(x):
    return math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * 0.044715 * x * x)


def put(table, ids, values):
    """Zeros like the table, with values assigned to the rows ids."""
    result = np.zeros_like(table)
    result[ids] = values
    return result


def counted(labels, ignore_index=-100):
    """(n, 1) truth values: which rows have a label."""
    return (labels != ignore_index)[:, None]


def hits(log_p, labels):
    """1 at each row's label, 0 elsewhere, and 0 in rows without one."""
    return (np.arange(log_p.shape[-1]) == labels[:, None]) * 1.0


def number_of(labels, ignore_index=-100):
    return max(int((labels != ignore_index).sum()), 1)


def attention_gradients(
    dy, query, key, value, probabilities, keep=None, p=0.0, scale=1.0, softmax=F.softmax_backward, drop=F.dropout
):
    """The right backward of attention, with parts to exchange."""
    dvalue = turned(F.dropout(probabilities, keep, p)) @ dy
    dprobabilities = drop(dy @ turned(value), keep, p)
    dscores = softmax(dprobabilities, probabilities) * (scale / math.sqrt(query.shape[-1]))
    return dscores @ key, turned(dscores) @ query, dvalue


def attend(query, key, value, mask=None, keep=None, p=0.0, scale=1.0, softmax=F.masked_softmax, drop=F.dropout):
    """The right forward of attention, with parts to exchange."""
    scores = query @ turned(key) * (scale / math.sqrt(query.shape[-1]))
    probabilities = softmax(scores, mask)
    return drop(probabilities, keep, p) @ value, probabilities


def layer_norm_dx(g, x_hat, inv_std, of_mean=1.0, of_variance=1.0, average=mean):
    """The right dx of layer_norm for g = γ dy, with each of its two projections weighted."""
    return inv_std * (g - of_mean * average(g) - of_variance * x_hat * average(g * x_hat))


def normalised(x, weight, bias, deviation):
    x_hat = (x - mean(x)) / deviation
    return weight * x_hat + bias, x_hat, 1.0 / deviation


def softmax_of_mask(scores, mask, hidden):
    """Softmax with `hidden` put in for scores that the mask forbids."""
    return F.softmax(scores if mask is None else np.where(mask, scores, hidden))


def spoil(dy, y):
    dy *= y
    return dy - total(dy) * y


_collected = {}


def add_to_the_last_call(dy, x, weight):
    gradients = F.linear_backward(dy, x, weight)
    _collected["weight"] = gradients[1] + _collected.get("weight", 0.0)
    return gradients[0], _collected["weight"], gradients[2]


BACKWARD = {}
FORWARD = {}


def backwards(formula, *entries):
    BACKWARD[formula] = [Mistake(formula, *entry[:3], betrayed_by=entry[3] if entry[3:] else None) for entry in entries]


def forwards(formula, *entries):
    FORWARD[formula] = [Mistake(formula, *entry, part="forward") for entry in entries]


# backwards

backwards(
    "linear",
    ("db averaged over positions", lambda dy, x, weight: {"bias": rows(dy).mean(0)},
     "db is a mean over the positions. One bias serves them all, so their gradients add up: use sum."),
    ("db not summed", lambda dy, x, weight: {"bias": dy},
     "db still has a row for every position. The one bias was spread over all of them: sum over every axis but the "
     "last."),
    ("db summed over the batch only", lambda dy, x, weight: {"bias": dy.sum(0)},
     "db is summed over the sequences but not over the tokens in them. Sum over both."),
    ("db of the first sequence", lambda dy, x, weight: {"bias": dy[0].sum(0)},
     "db collects the first sequence only; the bias served the others as well."),
    ("db without dy", lambda dy, x, weight: {"bias": np.full(dy.shape[-1], float(rows(dy).shape[0]))},
     "db counts positions instead of adding up their dy."),
    ("dW transposed", lambda dy, x, weight: {"weight": rows(x).T @ rows(dy)},
     "dW is transposed: the weight is (out, in), so it is dyT x, with dy first."),
    ("dW averaged over positions", lambda dy, x, weight: {"weight": rows(dy).T @ rows(x) / rows(x).shape[0]},
     "dW is a mean over the positions. The mean belongs to the loss, once; here their gradients add up."),
    ("dW averaged over the batch", lambda dy, x, weight: {"weight": rows(dy).T @ rows(x) / x.shape[0]},
     "dW is divided by the batch size. The mean over the batch belongs to the loss, once."),
    ("dW of the first sequence", lambda dy, x, weight: {"weight": dy[0].T @ x[0]},
     "dW collects the first sequence only; the weight served the others as well."),
    ("dx with W transposed", lambda dy, x, weight: {"x": dy @ weight.T},
     "dx = dy W, without a transpose: the forward had x WT, and going back turns the weight round once more."),
    ("x added to dx", lambda dy, x, weight: {"x": dy @ weight + x},
     "x itself is added to dx. A gradient is linear in dy; a term without dy does not belong there."),
    ("grows with every call", add_to_the_last_call,
     "dW grows with every call: it is added to what the last call left behind. Begin each call from zero.",
     ("repeatability", "gradient of weight")),
)  # fmt: skip

backwards(
    "product",
    ("dW averaged over positions", lambda dy, x, weight: {"weight": rows(dy).T @ rows(x) / rows(x).shape[0]},
     "dW is a mean over the positions. The mean belongs to the loss, once; here their gradients add up."),
    ("dW transposed", lambda dy, x, weight: {"weight": rows(x).T @ rows(dy)},
     "dW is transposed: the weight is (out, in), so it is dyT x, with dy first."),
)  # fmt: skip

backwards(
    "gelu",
    ("Phi only", lambda dy, x: dy * Phi(x),
     "That is dy Phi(x), half of the product rule. x Phi(x) has x twice: add x phi(x)."),
    ("x phi only", lambda dy, x: dy * x * phi(x),
     "That is the second half of the product rule, x phi(x). Phi(x) itself belongs there too."),
    ("phi for x phi", lambda dy, x: dy * (Phi(x) + phi(x)),
     "The second term is x phi(x): its factor x is lost."),
    ("the bell without its half", lambda dy, x: dy * (Phi(x) + x * np.exp(-x * x) / math.sqrt(2 * math.pi)),
     "The density is exp(-x²/2): the half in the exponent is missing."),
    ("the bell not normalised", lambda dy, x: dy * (Phi(x) + x * np.exp(-0.5 * x * x)),
     "The density is exp(-x²/2) / sqrt(2 pi): the division is missing."),
    ("the tanh form's derivative", lambda dy, x: F.gelu_new_backward(dy, x),
     "That is the derivative of the other GELU, the tanh form. Forward and backward have to be the same function, even "
     "where they differ in the fourth digit only."),
    ("minus x phi", lambda dy, x: dy * (Phi(x) - x * phi(x)),
     "The sign of x phi(x) is turned round: Phi' = +phi."),
    ("the sigmoid form's derivative", lambda dy, x: dy * sigma(1.702 * x) * (1 + 1.702 * x * (1 - sigma(1.702 * x))),
     "That is the derivative of x sigmoid(1.702 x), a rough stand-in for GELU, not of GELU."),
    ("dy forgotten", lambda dy, x: Phi(x) + x * phi(x),
     "The derivative is right, but dy is not in it. Multiply by dy: the chain rule's other half."),
)  # fmt: skip

backwards(
    "gelu_new",
    ("the erf form's derivative", lambda dy, x: F.gelu_backward(dy, x),
     "That is the derivative of the erf form of GELU; the forward here is the tanh form."),
    ("only (1 + t)/2", lambda dy, x: dy * 0.5 * (1 + tanh_of(x)),
     "That is the first half of the product rule. x (1 + tanh u)/2 has x in u as well: add x (1 - tanh² u) u' / 2."),
    ("u' without 3", lambda dy, x: dy * (0.5 * (1 + tanh_of(x)) + 0.5 * x * (1 - tanh_of(x) ** 2)
                                         * math.sqrt(2 / math.pi) * (1 + 0.044715 * x * x)),
     "In u' the derivative of x³ is 3x²: the factor 3 is missing."),
    ("u' without sqrt(2/pi)", lambda dy, x: dy * (0.5 * (1 + tanh_of(x)) + 0.5 * x * (1 - tanh_of(x) ** 2)
                                                  * (1 + 3 * 0.044715 * x * x)),
     "u' has lost its factor sqrt(2/pi)."),
    ("1 - t for 1 - t²", lambda dy, x: dy * (0.5 * (1 + tanh_of(x)) + 0.5 * x * (1 - tanh_of(x)) * tanh_slope(x)),
     "The derivative of tanh is 1 - tanh²: the square is missing."),
    ("u' forgotten", lambda dy, x: dy * (0.5 * (1 + tanh_of(x)) + 0.5 * x * (1 - tanh_of(x) ** 2)),
     "The chain rule stops at tanh: its argument u depends on x too, multiply by u'."),
    ("the half lost", lambda dy, x: dy * (0.5 * (1 + tanh_of(x)) + x * (1 - tanh_of(x) ** 2) * tanh_slope(x)),
     "The second term has lost its 1/2."),
)  # fmt: skip

backwards(
    "gelu_fast",
    ("the erf form's derivative", lambda dy, x: F.gelu_backward(dy, x),
     "That is the derivative of the erf form of GELU; gelu_fast is a tanh form."),
    ("only (1 + t)/2", lambda dy, x: dy * 0.5 * (1 + tanh_of(x, 0.7978845608)),
     "That is the first half of the product rule: x stands inside the tanh as well."),
    ("u' without 3", lambda dy, x: dy * (0.5 * (1 + tanh_of(x, 0.7978845608))
                                         + 0.5 * x * (1 - tanh_of(x, 0.7978845608) ** 2)
                                         * 0.7978845608 * (1 + 0.044715 * x * x)),
     "u = c (x + 0.044715 x³), and the derivative of x³ is 3x²: the factor 3 is missing in u'."),
    ("u' forgotten", lambda dy, x: dy * (0.5 * (1 + tanh_of(x, 0.7978845608))
                                         + 0.5 * x * (1 - tanh_of(x, 0.7978845608) ** 2)),
     "The chain rule stops at tanh: multiply by u', its argument depends on x."),
)  # fmt: skip

backwards(
    "relu",
    ("1 everywhere", lambda dy, y: dy,
     "dy passes everywhere. Where y is 0 the input was negative, and nothing passes."),
    ("y for the step", lambda dy, y: dy * y,
     "dy is multiplied by y; the slope of relu is 1 or 0: multiply by (y > 0)."),
    ("the sign of dy", lambda dy, y: dy * (dy > 0),
     "The test looks at dy. What counts is whether the forward's output was positive, whatever dy is."),
    ("the other half", lambda dy, y: dy * (y <= 0),
     "dy passes just where it should not: the comparison is turned round."),
)  # fmt: skip

backwards(
    "sigmoid",
    ("y only", lambda dy, y: dy * y,
     "The slope is y (1 - y): the factor (1 - y) is missing."),
    ("1 - y only", lambda dy, y: dy * (1 - y),
     "The slope is y (1 - y): the factor y is missing."),
    ("tanh's rule", lambda dy, y: dy * (1 - y * y),
     "1 - y² is the slope of tanh; that of the sigmoid is y (1 - y)."),
    ("the function once more", lambda dy, y: dy * sigma(y) * (1 - sigma(y)),
     "The sigmoid is taken of y, which is a sigmoid already. The slope from the output is y (1 - y)."),
    ("dy forgotten", lambda dy, y: y * (1 - y),
     "The slope y (1 - y) is right, but dy is not in it."),
)  # fmt: skip

backwards(
    "silu",
    ("s only", lambda dy, x: dy * sigma(x),
     "That is dy s, half of the product rule. x s(x) has x twice: add x s (1 - s)."),
    ("x s' only", lambda dy, x: dy * x * sigma(x) * (1 - sigma(x)),
     "That is the second half of the product rule; the sigmoid itself belongs there too."),
    ("x lost", lambda dy, x: dy * (sigma(x) + sigma(x) * (1 - sigma(x))),
     "The second term is x s (1 - s): its factor x is lost."),
    ("the sigmoid's slope", lambda dy, x: dy * sigma(x) * (1 - sigma(x)),
     "That is the slope of the sigmoid; the function here is x times it."),
)  # fmt: skip

backwards(
    "tanh",
    ("1 - y", lambda dy, y: dy * (1 - y),
     "The slope is 1 - y²: the square is missing."),
    ("1 + y²", lambda dy, y: dy * (1 + y * y),
     "The slope is 1 - y²; here stands a plus."),
    ("the function once more", lambda dy, y: dy * (1 - np.tanh(y) ** 2),
     "tanh is taken of y, which is a tanh already: from the output the slope is 1 - y²."),
    ("the sigmoid's rule", lambda dy, y: dy * y * (1 - y),
     "y (1 - y) is the slope of the sigmoid; that of tanh is 1 - y²."),
    ("of the input", lambda dy, x: dy * (1 - x * x),
     "1 - x² uses the input. The short rule holds for the output: 1 - y²."),
)  # fmt: skip

backwards(
    "softmax",
    ("only the diagonal", lambda dy, y: dy * y * (1 - y),
     "Only the diagonal of the Jacobian is there, y (1 - y). Every output depends on every input: dx = y (dy - sum of "
     "dy y)."),
    ("no outer y", lambda dy, y: dy - total(dy * y),
     "The mean is taken away, but the factor y before the bracket is missing: dx = y (dy - sum of dy y)."),
    ("the rule of log-softmax", lambda dy, y: dy - y * total(dy),
     "dy - y sum(dy) is the backward of log-softmax. That of softmax is y (dy - sum of dy y)."),
    ("sum of dy without y", lambda dy, y: y * (dy - total(dy)),
     "What is taken away is the sum of dy y, weighted by y; yours is the plain sum of dy."),
    ("mean of dy y", lambda dy, y: y * (dy - mean(dy * y)),
     "The weights y add up to 1 already, so what is taken away is the sum of dy y, not their mean."),
    ("only y dy", lambda dy, y: y * dy,
     "That is y dy, as if each output stood for itself. They share a denominator: subtract y times the sum of dy y."),
    ("plus for minus", lambda dy, y: y * (dy + total(dy * y)),
     "The weighted sum is added; it has to be taken away."),
    ("sum over everything", lambda dy, y: y * (dy - (dy * y).sum()),
     "The sum runs over the whole array. Each row is a softmax of its own: sum over the last axis, with keepdims."),
    ("sum over the wrong axis", lambda dy, y: y * (dy - total(dy * y, -2)),
     "The sum runs over the axis before the last. Normalise and sum over the last one, the keys."),
    ("divided by the batch", lambda dy, y: F.softmax_backward(dy, y) / len(y),
     "Everything is divided by the batch size. The mean over the batch belongs to the loss, once."),
    ("dy forgotten", lambda dy, y: y * (1 - y),
     "y (1 - y) has no dy in it at all, and is only the diagonal of the Jacobian besides."),
    ("writes into dy", spoil,
     "The numbers are right, but dy *= y writes over the caller's array. Others still read it: make a new one.",
     ("inputs untouched", "the cotangent g")),
)  # fmt: skip

backwards(
    "masked_softmax",
    ("only the diagonal", lambda dy, y: dy * y * (1 - y),
     "Only the diagonal y (1 - y) is there: the keys of a row depend on each other, subtract y times the sum of dy y."),
    ("no outer y", lambda dy, y: dy - total(dy * y),
     "The factor y before the bracket is missing, so masked keys, whose y is 0, get a gradient."),
    ("the rule of log-softmax", lambda dy, y: dy - y * total(dy),
     "dy - y sum(dy) belongs to log-softmax; and it lets dy through at masked keys."),
    ("sum over the wrong axis", lambda dy, y: y * (dy - total(dy * y, -2)),
     "The sum runs over the queries. Each query has a softmax of its own over the keys, the last axis."),
    ("the mask forgotten", lambda dy, x: F.softmax_backward(dy, F.softmax(x)),
     "The softmax is computed anew without the mask. Use the forward's own y, which is 0 at masked keys."),
)  # fmt: skip

backwards(
    "log_softmax",
    ("the rule of softmax", lambda dy, y: np.exp(y) * (dy - total(dy * np.exp(y))),
     "That is the backward of softmax. For its logarithm: dx = dy - exp(y) sum(dy)."),
    ("y for exp(y)", lambda dy, y: dy - y * total(dy),
     "y is the logarithm here: the probabilities are exp(y)."),
    ("mean for sum", lambda dy, y: dy - np.exp(y) * mean(dy),
     "exp(y) takes the sum of dy, not its mean."),
    ("exp(y) lost", lambda dy, y: dy - total(dy),
     "The sum of dy is shared out by exp(y): that factor is missing."),
    ("only dy", lambda dy, y: dy,
     "dy is handed through. The denominator depends on every input: subtract exp(y) sum(dy)."),
    ("sum over the wrong axis", lambda dy, y: dy - np.exp(y) * total(dy, -2),
     "The sum of dy runs over the axis before the last; each row is one softmax: sum over the last."),
)  # fmt: skip

backwards(
    "attention",
    ("no scale", lambda dy, **c: attention_gradients(dy, **c, scale=math.sqrt(c["query"].shape[-1])),
     "dQ and dK are sqrt(D) times too large and dV is right: the 1/sqrt(D) of the scores is missing in the backward."),
    ("scale twice", lambda dy, **c: attention_gradients(dy, **c, scale=1 / math.sqrt(c["query"].shape[-1])),
     "dQ and dK are sqrt(D) times too small: the scale is applied twice, to the scores and to a product after it."),
    ("dK unscaled", lambda dy, **c: {"key": attention_gradients(dy, **c)[1] * math.sqrt(c["query"].shape[-1])},
     "dK has lost the 1/sqrt(D) that dQ has: scale dS once, before both products."),
    ("dQ unscaled", lambda dy, **c: {"query": attention_gradients(dy, **c)[0] * math.sqrt(c["query"].shape[-1])},
     "dQ has lost the 1/sqrt(D) that dK has: scale dS once, before both products."),
    ("scale by the hidden size",
     lambda dy, **c: attention_gradients(dy, **c, scale=1 / math.sqrt(c["query"].shape[1])),
     "The scale is 1/sqrt(A D), of the whole hidden vector. Each head is scaled by its own size, 1/sqrt(D)."),
    ("dQ and dK swapped", lambda dy, **c: {
        "query": attention_gradients(dy, **c)[1], "key": attention_gradients(dy, **c)[0]},
     "You returned dK as dQ and dQ as dK. dQ = dS K has a row for each query."),
    ("a transpose missing", lambda dy, query, key, value, probabilities: {"key": probabilities @ query},
     "dK and dV have a row for each key, and sum over the queries. So dS and P have to be transposed there: "
     "dK = dST Q, dV = PT dY."),
    ("softmax backward left out", lambda dy, **c: attention_gradients(dy, **c, softmax=lambda d, y: d),
     "dP went on as if it were dS: between them lies the softmax, dS = P (dP - sum of dP P)."),
    ("softmax's diagonal only", lambda dy, **c: attention_gradients(dy, **c, softmax=lambda d, y: d * y * (1 - y)),
     "On the way from dP to dS only the diagonal of the softmax is there: subtract P times the row's sum of dP P."),
    ("softmax over the queries",
     lambda dy, **c: attention_gradients(dy, **c, softmax=lambda d, y: y * (d - total(d * y, -2))),
     "The softmax's sum runs over the queries. Each query divides its attention among the keys: the last axis."),
    ("softmax of everything",
     lambda dy, **c: attention_gradients(dy, **c, softmax=lambda d, y: y * (d - (d * y).sum())),
     "The softmax's sum runs over the whole array; every query has its own: last axis, keepdims."),
    ("dropout forgotten in dP", lambda dy, **c: attention_gradients(dy, **c, drop=lambda d, keep, p: d),
     "dP has not gone back through the dropout: multiply by the forward's mask and divide by 1 - p."),
    ("dropout in dP not rescaled",
     lambda dy, **c: attention_gradients(dy, **c, drop=lambda d, keep, p: d if keep is None else d * keep),
     "dP has the mask of the dropout but not its division by 1 - p."),
    ("dV from undropped P", lambda dy, probabilities, **c: {"value": turned(probabilities) @ dy},
     "dV uses the probabilities before dropout. Y = drop(P) V, so dV = drop(P)T dY."),
    ("the mask forgotten", lambda dy, query, key, value, probabilities, keep, p: attention_gradients(
        dy, query, key, value, attend(query, key, value)[1], keep, p),
     "The probabilities are computed anew without the mask: padded keys take part. Keep the forward's own P."),
    ("dV with dropout twice", lambda dy, probabilities, keep, p, **c: {
        "value": turned(F.dropout(F.dropout(probabilities, keep, p), keep, p)) @ dy},
     "dV goes through the dropout twice: P or drop(P) was kept, and it was dropped once more."),
    ("dQ with Q", lambda dy, query, key, value, probabilities: {"query": probabilities @ value},
     "dQ is made from the values and P. The scores are Q KT, so dQ = dS K / sqrt(D)."),
)  # fmt: skip

backwards(
    "packed_attention",
    ("the mask forgotten", lambda dy, **c: F.packed_attention_backward(dy, **{**c, "mask": None}),
     "The probabilities are computed anew without the mask: keys take part that may not be read."),
    ("dropout forgotten", lambda dy, **c: F.packed_attention_backward(dy, **{**c, "keep": None}),
     "The dropout is left out: multiply by the forward's mask and divide by 1 - p, in drop(P) and in dP."),
    ("all sequences as one", lambda dy, query, key, value, heads, keep, p: F.packed_attention_backward(
        dy, query, key, value, np.array([len(query)]), np.array([len(key)]), heads),
     "Tokens read the tokens of other sequences. Each sequence of the packed batch is by itself."),
)  # fmt: skip

backwards(
    "split_heads",
    ("reshape only", lambda dy, x: dy.reshape(x.shape),
     "Right numbers in wrong places: reshape cannot swap axes. Transpose (B, A, S, D) to (B, S, A, D) first, then "
     "reshape."),
    ("heads interleaved", lambda dy, x: dy.transpose(0, 2, 3, 1).reshape(x.shape),
     "The heads are woven into each other. Head a owns the components a D to (a + 1) D, side by side: transpose "
     "(0, 2, 1, 3)."),
    ("heads in reverse", lambda dy, x: dy[:, ::-1].transpose(0, 2, 1, 3).reshape(x.shape),
     "The heads come back in reverse order."),
    ("not put together", lambda dy, x: dy.transpose(0, 2, 1, 3),
     "The heads stand side by side, (B, S, A, D), but are not put together: a reshape to (B, S, H) is missing."),
    ("mean over heads", lambda dy, x: np.tile(dy.mean(1), (1, 1, dy.shape[1])),
     "The heads are averaged. Splitting only moves numbers, so going back only moves them too."),
)  # fmt: skip

backwards(
    "merge_heads",
    ("reshape only", lambda dy, x: dy.reshape(x.shape),
     "Right numbers in wrong places: reshape to (B, S, A, D) first, and then transpose (0, 2, 1, 3)."),
    ("heads interleaved", lambda dy, x: dy.reshape(*dy.shape[:2], x.shape[3], x.shape[1]).transpose(0, 3, 1, 2),
     "The heads are cut out with a stride. Head a owns the components a D to (a + 1) D, side by side: reshape to "
     "(B, S, A, D)."),
    ("not transposed", lambda dy, x: dy.reshape(*dy.shape[:2], *x.shape[1::2]),
     "The heads are cut apart but still stand after the tokens: transpose (0, 2, 1, 3)."),
    ("the first head only", lambda dy, x: np.stack([dy[..., : x.shape[3]]] * x.shape[1], 1),
     "Every head got the first one's numbers."),
)  # fmt: skip

backwards(
    "mask_heads",
    ("mask forgotten", lambda dy, x, head_mask: {"x": dy},
     "The mask is missing in dx: multiply dy by the number of each component's head."),
    ("mask interleaved", lambda dy, x, head_mask: {
        "x": dy * np.tile(head_mask, x.shape[1] // head_mask.shape[1])},
     "The mask's numbers alternate. Head a owns the components a D to (a + 1) D, side by side: repeat each D times."),
    ("not summed over the rows' components but averaged", lambda dy, x, head_mask: {
        "head_mask": (dy * x).reshape(*head_mask.shape, -1).mean(-1)},
     "The head mask's gradient is a sum over the head's D components, not their mean."),
    ("x forgotten", lambda dy, x, head_mask: {"head_mask": dy.reshape(*head_mask.shape, -1).sum(-1)},
     "x is missing in the head mask's gradient: y = xi x, so d xi is dy times x, added up over the head."),
)  # fmt: skip

backwards(
    "layer_norm",
    ("mean and variance constant", lambda dy, x_hat, inv_std, weight: {"x": dy * weight * inv_std},
     "Mean and variance are taken as constants. x moves both: subtract mean(g) and x_hat mean(g x_hat), g = gamma dy."),
    ("mean constant", lambda dy, x_hat, inv_std, weight: {
        "x": layer_norm_dx(dy * weight, x_hat, inv_std, of_mean=0.0)},
     "The mean is taken as a constant. x moves it too: subtract mean(g), so that every row of dx adds up to 0."),
    ("variance constant", lambda dy, x_hat, inv_std, weight: {
        "x": layer_norm_dx(dy * weight, x_hat, inv_std, of_variance=0.0)},
     "The variance is taken as a constant. x moves it too: subtract x_hat mean(g x_hat)."),
    ("gamma forgotten in dx", lambda dy, x_hat, inv_std, weight: {"x": layer_norm_dx(dy, x_hat, inv_std)},
     "gamma is missing in dx: multiply dy by gamma before the two means. With gamma = 1 nobody would see it."),
    ("gamma after the means", lambda dy, x_hat, inv_std, weight: {"x": weight * layer_norm_dx(dy, x_hat, inv_std)},
     "gamma comes too late: it weights the two means as well, so multiply dy by it first."),
    ("1/sigma forgotten", lambda dy, x_hat, inv_std, weight: {"x": layer_norm_dx(dy * weight, x_hat, 1.0)},
     "dx lacks the division by the standard deviation: the forward divided by it."),
    ("1/sigma twice", lambda dy, x_hat, inv_std, weight: {"x": layer_norm_dx(dy * weight, x_hat, inv_std**2)},
     "dx is divided by the variance instead of the standard deviation."),
    ("sigma for 1/sigma", lambda dy, x_hat, inv_std, weight: {"x": layer_norm_dx(dy * weight, x_hat, 1 / inv_std)},
     "dx is multiplied by the standard deviation; what the forward kept is its inverse."),
    ("x_hat lost", lambda dy, x_hat, inv_std, weight: {
        "x": inv_std * (dy * weight - mean(dy * weight) - mean(dy * weight * x_hat))},
     "mean(g x_hat) is taken away as it is. It is the length along x_hat, so multiply it by x_hat."),
    ("x for x_hat", lambda dy, x, inv_std, weight: {"x": layer_norm_dx(dy * weight, x - mean(x), inv_std)},
     "The second mean uses x minus its mean, not yet divided by the standard deviation: x_hat belongs there, twice."),
    ("divided by H - 1", lambda dy, x_hat, inv_std, weight: {
        "x": layer_norm_dx(dy * weight, x_hat, inv_std, average=lambda g: total(g) / (g.shape[-1] - 1))},
     "The two means are divided by H - 1. BERT's variance is the biased one: divide by H."),
    ("sums for means", lambda dy, x_hat, inv_std, weight: {
        "x": layer_norm_dx(dy * weight, x_hat, inv_std, average=total)},
     "The two terms taken away are means over the last axis; yours are sums."),
    ("means over the batch", lambda dy, x_hat, inv_std, weight: {
        "x": layer_norm_dx(dy * weight, x_hat, inv_std, average=lambda g: mean(g, 0))},
     "The means run over the batch, as in batch normalisation. Layer normalisation averages over the last axis."),
    ("dgamma from x", lambda dy, x: {"weight": rows(dy * x).sum(0)},
     "dgamma uses x. gamma multiplied x_hat, the normalised x."),
    ("dgamma averaged", lambda dy, x_hat: {"weight": rows(dy * x_hat).mean(0)},
     "dgamma is a mean over the positions; gamma served them all, so sum."),
    ("dgamma not summed", lambda dy, x_hat: {"weight": dy * x_hat},
     "dgamma still has a row for each position: sum over every axis but the last."),
    ("dgamma of the batch axis only", lambda dy, x_hat: {"weight": (dy * x_hat).sum(0)},
     "dgamma is summed over the sequences but not over their tokens: sum over both."),
    ("dgamma with gamma", lambda dy, x_hat, weight: {"weight": rows(dy * x_hat * weight).sum(0)},
     "dgamma has a factor gamma too many: y = gamma x_hat + beta, so dgamma = sum of dy x_hat."),
    ("dbeta averaged", lambda dy: {"bias": rows(dy).mean(0)},
     "dbeta is a mean over the positions; beta served them all, so sum."),
    ("dbeta not summed", lambda dy: {"bias": dy},
     "dbeta still has a row for each position: sum over every axis but the last."),
    ("dbeta with gamma", lambda dy, weight: {"bias": rows(dy * weight).sum(0)},
     "dbeta has a factor gamma. beta is added after gamma: dbeta = sum of dy."),
    ("dgamma and dbeta swapped", lambda dy, x_hat: {"weight": rows(dy).sum(0), "bias": rows(dy * x_hat).sum(0)},
     "You returned dbeta as dgamma and dgamma as dbeta: the order is dx, dgamma, dbeta."),
)  # fmt: skip

backwards(
    "dropout",
    ("no rescaling", lambda dy, keep, p: dy if keep is None else dy * keep,
     "The division by 1 - p is missing. The forward divides, so the backward does too."),
    ("no mask", lambda dy, keep, p: dy if keep is None else dy / (1 - p),
     "dy also passes where the forward dropped: multiply by its mask."),
    ("left out", lambda dy, keep, p: dy,
     "dy is handed through untouched: the forward's mask and its division by 1 - p belong in the backward too."),
    ("mask turned round", lambda dy, keep, p: dy if keep is None else dy * ~keep / (1 - p),
     "dy passes just where the forward dropped: the mask is turned round."),
    ("times 1 - p", lambda dy, keep, p: dy if keep is None else dy * keep * (1 - p),
     "dy is multiplied by 1 - p where it should be divided by it."),
    ("twice", lambda dy, keep, p: F.dropout(F.dropout(dy, keep, p), keep, p),
     "The division by 1 - p is there twice: dropout was applied two times."),
    ("p for 1 - p", lambda dy, keep, p: dy if keep is None else dy * keep / p,
     "The division is by p. It is by 1 - p, the share that is kept."),
    ("a fresh mask", lambda dy, keep, p: dy if keep is None else dy * (np.random.random(dy.shape) >= p) / (1 - p),
     "The backward draws a mask of its own. It needs the forward's: what was dropped there gets no gradient.",
     ("repeatability", "to the same inputs")),
    ("active when off", lambda dy, keep, p: (
        dy * (np.arange(dy.size) % 4 > 0).reshape(dy.shape) / 0.75 if keep is None else F.dropout(dy, keep, p)),
     "Dropout was off in the forward (keep is None), yet the backward drops."),
)  # fmt: skip

backwards(
    "embedding",
    ("assigned", lambda dy, ids, table: put(table, ids, dy),
     "A word that stands there three times should get the sum of three gradients. table[ids] = dy, and table[ids] += "
     "dy just so, keep only the last one written: use np.add.at."),
    ("the first of each word", lambda dy, ids, table: put(table, ids.reshape(-1)[::-1], rows(dy)[::-1]),
     "Only the first place of each word counts: repeated words have to add up (np.add.at)."),
    ("mean over repeats", lambda dy, ids, table: F.embedding_backward(dy, ids, table) / np.maximum(
        np.bincount(ids.reshape(-1), minlength=len(table)), 1)[:, None],
     "The gradients of a repeated word are averaged. They add up."),
    ("counts", lambda dy, ids, table: F.embedding_backward(np.ones_like(dy), ids, table),
     "The table holds how often each word occurs, without dy: add up dy instead of ones."),
    ("averaged over the batch", lambda dy, ids, table: F.embedding_backward(dy, ids, table) / len(dy),
     "Everything is divided by the batch size. The mean over the batch belongs to the loss, once."),
    ("one row off", lambda dy, ids, table: np.roll(F.embedding_backward(dy, ids, table), 1, axis=0),
     "Every gradient lands one row below its word: ids count from 0."),
    ("not scattered", lambda dy, ids, table: dy,
     "dy is returned as it is. It belongs to the rows that were read: add each to the row of its word."),
    ("spread to unread rows", lambda dy, ids, table: F.embedding_backward(dy, ids, table)
     + (np.bincount(ids.reshape(-1), minlength=len(table)) == 0)[:, None] * rows(dy).mean(0),
     "Words that do not occur get a gradient. Nothing depends on them: 0."),
    ("the padding word learns", lambda dy, ids, table: F.embedding_backward(dy, ids, table),
     "The row padding_idx is to learn nothing: set it to 0 after adding up."),
)  # fmt: skip

backwards(
    "positional_encoding",
    ("the root forgotten", lambda dy: dy * 1.0,
     "x is multiplied by sqrt(H) on its way in, so dy is on its way back: dx = sqrt(H) dy."),
    ("divided by the root", lambda dy: dy / np.sqrt(dy.shape[-1]),
     "dy is divided by sqrt(H). The forward multiplies x by it, and the derivative of c x is c: dx = sqrt(H) dy."),
    ("H for its root", lambda dy: dy * dy.shape[-1],
     "dy is multiplied by H; the factor is sqrt(H)."),
)  # fmt: skip

backwards(
    "gather_rows",
    ("first rows", lambda dy, index, x: put(x, np.arange(len(index)), dy),
     "dy is put into the first rows. Row i of y came from row index[i] of x."),
    ("not scattered", lambda dy, index: dy,
     "dy is returned as it is: put it into the rows it came from, and 0 into the others."),
    ("other rows filled", lambda dy, index, x: put(x, index, dy) + put(
        x, np.setdiff1d(np.arange(len(x)), index), dy.mean(0)),
     "Rows that were not taken get a gradient; nothing depends on them."),
    ("in sorted order", lambda dy, index, x: put(x, np.sort(index), dy),
     "The rows are put back in sorted order; they were taken in the order of index."),
)  # fmt: skip

backwards(
    "scatter_rows",
    ("first rows", lambda dy, index: dy[: len(index)],
     "The first rows of dy are returned. Row i of x went to row index[i] of y."),
    ("all rows", lambda dy, index: dy,
     "All of dy is returned: only the rows index received something from x."),
    ("in sorted order", lambda dy, index: dy[np.sort(index)],
     "The rows come back in sorted order; they were written in the order of index."),
    ("averaged", lambda dy, index: dy[index] / len(index),
     "The rows are divided by their number; scattering only moves them."),
)  # fmt: skip

backwards(
    "cross_entropy",
    ("divided by all rows", lambda dloss, log_p, labels, ignore_index: (
        (np.exp(log_p) - hits(log_p, labels)) * counted(labels, ignore_index) * dloss / len(labels)),
     "The sum is divided by all rows. The loss is a mean over the labelled ones only: divide by their number N."),
    ("not divided", lambda dloss, log_p, labels, ignore_index: (
        (np.exp(log_p) - hits(log_p, labels)) * counted(labels, ignore_index) * dloss),
     "That is the gradient of a sum; the loss is a mean over the N labelled rows: divide by N."),
    ("divided twice", lambda dloss, log_p, **c: F.cross_entropy_backward(dloss, log_p, **c)
     / number_of(c["labels"], c["ignore_index"]),
     "It is divided by N twice: once is right."),
    ("divided by the classes", lambda dloss, log_p, **c: F.cross_entropy_backward(dloss, log_p, **c)
     * (number_of(c["labels"], c["ignore_index"]) / log_p.shape[-1]),
     "It is divided by the number of classes; the mean runs over the N labelled rows."),
    ("unlabelled rows leak", lambda dloss, log_p, labels, ignore_index: (
        (np.exp(log_p) - hits(log_p, labels)) * dloss / number_of(labels, ignore_index)),
     "Rows without a label get a gradient. They are not in the loss: multiply them by 0."),
    ("no minus one", lambda dloss, log_p, labels, ignore_index: (
        np.exp(log_p) * counted(labels, ignore_index) * dloss / number_of(labels, ignore_index)),
     "The probabilities alone push every class down. At the label, subtract 1: p - onehot."),
    ("only the label", lambda dloss, log_p, labels, ignore_index: (
        (np.exp(log_p) - 1) * hits(log_p, labels) * dloss / number_of(labels, ignore_index)),
     "Only the labelled class gets a gradient; the others share the softmax: p - onehot in the whole row."),
    ("dloss ignored", lambda dloss, log_p, **c: F.cross_entropy_backward(1.0, log_p, **c),
     "dloss is not in it. A loss that is weighted, or one of two, sends back something other than 1."),
    ("sign turned round", lambda dloss, log_p, **c: -F.cross_entropy_backward(dloss, log_p, **c),
     "The sign is turned round: p - onehot, so that descending raises the right class."),
    ("log p for p", lambda dloss, log_p, labels, ignore_index: (
        (log_p - hits(log_p, labels)) * counted(labels, ignore_index) * dloss / number_of(labels, ignore_index)),
     "What was kept is log p. The gradient wants p itself: exp(log p) - onehot."),
    ("class 0 not counted", lambda dloss, log_p, labels, **c: F.cross_entropy_backward(
        dloss, log_p, np.where(labels == 0, c["ignore_index"], labels), **c),
     "Rows of class 0 are left out. 0 is a class like any other (in next-sentence prediction one of two); only the "
     "ignore_index, -100, is none."),
    ("smoothing forgotten", lambda dloss, log_p, labels, ignore_index: F.cross_entropy_backward(
        dloss, log_p, labels, ignore_index),
     "The label smoothing is in the loss but not in its gradient: the target is (1 - e) onehot + e/C."),
    ("smoothing at the label only", lambda dloss, log_p, labels, ignore_index, label_smoothing: (
        (np.exp(log_p) - (1 - label_smoothing) * hits(log_p, labels)) * counted(labels, ignore_index)
        * dloss / number_of(labels, ignore_index)),
     "The smoothed target takes e from the label, but does not give e/C to every class."),
    ("smoothing shared by C - 1", lambda dloss, log_p, labels, ignore_index, label_smoothing: (
        (np.exp(log_p) - (1 - label_smoothing) * hits(log_p, labels)
         - label_smoothing / (log_p.shape[-1] - 1) * (1 - hits(log_p, labels)))
        * counted(labels, ignore_index) * dloss / number_of(labels, ignore_index)),
     "The e of the smoothing is shared among the C - 1 wrong classes; here all C get e/C, the right one too."),
    ("only ignores -100", lambda dloss, log_p, labels, label_smoothing: F.cross_entropy_backward(
        dloss, log_p, labels, -100, label_smoothing),
     "The number -100 is built in; what marks a row without label is ignore_index."),
)  # fmt: skip

backwards(
    "binary_cross_entropy",
    ("sum for mean", lambda dloss, logits, targets: dloss * (sigma(logits) - targets),
     "That is the gradient of a sum; the loss is a mean over all elements: divide by their number."),
    ("mean over the batch only", lambda dloss, logits, targets: dloss * (sigma(logits) - targets) / len(logits),
     "It is divided by B; the mean runs over all B C elements."),
    ("the sigmoid's slope too many", lambda dloss, logits, targets: (
        dloss * (sigma(logits) - targets) * sigma(logits) * (1 - sigma(logits)) / logits.size),
     "The slope of the sigmoid is there once too often: it has cancelled already, s - t is all."),
    ("sign turned round", lambda dloss, logits, targets: dloss * (targets - sigma(logits)) / logits.size,
     "The sign is turned round: s - t."),
    ("logits for probabilities", lambda dloss, logits, targets: dloss * (logits - targets) / logits.size,
     "The logits themselves are compared with the targets: take their sigmoid first."),
    ("targets forgotten", lambda dloss, logits, targets: dloss * sigma(logits) / logits.size,
     "The targets are missing: s - t."),
    ("dloss ignored", lambda dloss, logits, targets: (sigma(logits) - targets) / logits.size,
     "dloss is not in it. A loss may be weighted; multiply by what comes back."),
    ("softmax for sigmoid", lambda dloss, logits, targets: dloss * (F.softmax(logits) - targets) / logits.size,
     "The classes are made to compete (softmax). Each is a question of its own here: sigmoid."),
)  # fmt: skip

backwards(
    "weighted_cross_entropy",
    ("weights forgotten", lambda dloss, log_p, labels, class_weights, **c: F.cross_entropy_backward(
        dloss, log_p, labels, **c),
     "The class weights are not in it: a row of class c counts w[c] times."),
    ("divided by the rows", lambda dloss, log_p, labels, class_weights, ignore_index: (
        F.weighted_cross_entropy_backward(dloss, log_p, labels, class_weights, ignore_index)
        * (class_weights[labels[labels != ignore_index]].sum() / number_of(labels, ignore_index))),
     "It is divided by the number of labelled rows; the mean is a weighted one: divide by the sum of their weights."),
    ("not divided", lambda dloss, log_p, labels, class_weights, ignore_index: (
        F.weighted_cross_entropy_backward(dloss, log_p, labels, class_weights, ignore_index)
        * class_weights[labels[labels != ignore_index]].sum()),
     "That is the gradient of a sum; the loss is a weighted mean: divide by the sum of the rows' weights."),
    ("weights on the columns", lambda dloss, log_p, labels, class_weights, ignore_index: (
        (np.exp(log_p) - hits(log_p, labels)) * class_weights * counted(labels, ignore_index)
        * dloss / class_weights[labels[labels != ignore_index]].sum()),
     "Each column is multiplied by its own class's weight. A row has one weight, that of its label."),
    ("dloss ignored", lambda dloss, log_p, **c: F.weighted_cross_entropy_backward(1.0, log_p, **c),
     "dloss is not in it. A loss that is weighted, or one of two, sends back something other than 1."),
    ("sign turned round", lambda dloss, log_p, **c: -F.weighted_cross_entropy_backward(dloss, log_p, **c),
     "The sign is turned round: p - onehot, so that descending raises the right class."),
    ("smoothing forgotten", lambda dloss, log_p, labels, class_weights, ignore_index: (
        F.weighted_cross_entropy_backward(dloss, log_p, labels, class_weights, ignore_index)),
     "The label smoothing is in the loss but not in its gradient: every class c gets a target of w[c] e/C."),
)  # fmt: skip

backwards(
    "weighted_binary_cross_entropy",
    ("weights forgotten", lambda dloss, logits, targets, positive_weights: F.binary_cross_entropy_backward(
        dloss, logits, targets),
     "The weights of the positive examples are not in it."),
    ("weights on both sides", lambda dloss, logits, targets, positive_weights: positive_weights
     * F.binary_cross_entropy_backward(dloss, logits, targets),
     "The weights multiply the negative examples, too; only the part with t has a w."),
    ("weights on the wrong side", lambda dloss, logits, targets, positive_weights: dloss / logits.size * (
        positive_weights * (1 - targets) * sigma(logits) - targets * (1 - sigma(logits))),
     "The weights multiply the negative examples in place of the positive ones."),
    ("sum for mean", lambda dloss, logits, targets, positive_weights: logits.size
     * F.weighted_binary_cross_entropy_backward(dloss, logits, targets, positive_weights),
     "That is the gradient of a sum; the loss is a mean over all elements: divide by their number."),
    ("dloss ignored", lambda dloss, logits, targets, positive_weights: F.weighted_binary_cross_entropy_backward(
        1.0, logits, targets, positive_weights),
     "dloss is not in it. A loss may be weighted; multiply by what comes back."),
    ("sign turned round", lambda dloss, **c: -F.weighted_binary_cross_entropy_backward(dloss, **c),
     "The sign is turned round: (1 - t) s - w t (1 - s)."),
)  # fmt: skip

backwards(
    "mean_squared_error",
    ("2 forgotten", lambda dloss, predictions, targets: dloss * (predictions - targets) / predictions.size,
     "The 2 of the square is missing: d(x - t)² = 2 (x - t)."),
    ("sum for mean", lambda dloss, predictions, targets: dloss * 2 * (predictions - targets),
     "That is the gradient of a sum; the loss is a mean: divide by the number of elements."),
    ("mean over the batch only", lambda dloss, predictions, targets: (
        dloss * 2 * (predictions - targets) / len(predictions)),
     "It is divided by B; the mean runs over all elements."),
    ("sign turned round", lambda dloss, predictions, targets: dloss * 2 * (targets - predictions) / predictions.size,
     "The sign is turned round: x - t, prediction first."),
    ("sign of the error", lambda dloss, predictions, targets: (
        dloss * np.sign(predictions - targets) / predictions.size),
     "That is the gradient of the mean absolute error."),
    ("dloss ignored", lambda dloss, predictions, targets: 2 * (predictions - targets) / predictions.size,
     "dloss is not in it. A loss may be weighted; multiply by what comes back."),
)  # fmt: skip

backwards(
    "residual",
    ("way straight through dropped", lambda dy, x, weight: {"x": dy @ weight},
     "Only the branch brings a gradient to x. The sum hands dy to both its summands: add dy itself."),
    ("branch dropped", lambda dy, x, weight: {"x": dy},
     "Only the way straight through brings a gradient to x. The branch read x too: add dy W."),
    ("halved", lambda dy, x, weight: {"x": 0.5 * (dy + dy @ weight)},
     "The gradient is shared between the two ways. A sum does not divide: both get all of dy."),
    ("dy doubled", lambda dy, x, weight: {"x": 2 * dy + dy @ weight},
     "dy itself is counted twice: one way straight through, one through the branch."),
)  # fmt: skip

backwards(
    "feed_forward",
    ("activation left out", lambda dy, x, u, weight1, weight2: {
        "x": dy @ weight2 @ weight1, "weight1": rows(dy @ weight2).T @ rows(x), "bias1": rows(dy @ weight2).sum(0)},
     "The gradient walks past the activation: between the two linear maps multiply by gelu'(u)."),
    ("slope at the output", lambda dy, x, u, weight1, weight2: dict(zip(
        ("x", "weight1", "bias1"), F.linear_backward(F.gelu_backward(dy @ weight2, F.gelu(u)), x, weight1),
        strict=True)),
     "gelu' is taken at gelu(u). It belongs at u, what went into the activation."),
    ("activation itself for its slope", lambda dy, x, u, weight1, weight2: dict(zip(
        ("x", "weight1", "bias1"), F.linear_backward(dy @ weight2 * F.gelu(u), x, weight1), strict=True)),
     "The gradient is multiplied by gelu(u), the function, not by its slope."),
    ("dW2 from u", lambda dy, x, u, weight1, weight2: {"weight2": rows(dy).T @ rows(u)},
     "dW2 uses u. The second map read gelu(u)."),
    ("the relu's slope", lambda dy, x, u, weight1, weight2: dict(zip(
        ("x", "weight1", "bias1"), F.linear_backward(dy @ weight2 * (u > 0), x, weight1), strict=True)),
     "The slope is that of relu; the forward uses gelu."),
)  # fmt: skip


backwards(
    "gelu_feed_forward",
    ("activation left out", lambda dy, x, u, weight1, weight2: {
        "x": dy @ weight2 @ weight1, "weight1": rows(dy @ weight2).T @ rows(x), "bias1": rows(dy @ weight2).sum(0)},
     "The gradient walks past the activation: between the two products multiply by gelu'(u)."),
    ("slope at the output", lambda dy, x, u, weight1, weight2: dict(zip(
        ("x", "weight1", "bias1"), F.linear_backward(F.gelu_backward(dy @ weight2, F.gelu(u)), x, weight1),
        strict=True)),
     "gelu' is taken at gelu(u). It belongs at u, what went into the activation."),
    ("dW2 from u", lambda dy, x, u, weight1, weight2: {"weight2": rows(dy).T @ rows(u)},
     "dW2 uses u. The second product read gelu(u)."),
)  # fmt: skip

backwards(
    "residual_norm",
    ("way straight through dropped", lambda dy, residual: {"residual": np.zeros_like(residual)},
     "The residual gets no gradient. The sum hands its gradient to both its summands."),
    ("db of the sum", lambda dy, x_hat, inv_std, norm_weight, keep: {
        "bias": rows(F.residual_norm_backward(dy, x_hat, inv_std, norm_weight)[2]).sum(0)},
     "db is summed before the dropout. The bias was added before it, so what was dropped tells it nothing."),
    ("dropout forgotten", lambda dy, x_hat, inv_std, norm_weight, keep: {
        "x": F.residual_norm_backward(dy, x_hat, inv_std, norm_weight)[2]},
     "dx has not gone back through the dropout: multiply by the forward's mask and divide by 1 - p."),
)  # fmt: skip


def pooler_of(du, h, weight, first=0):
    dh = np.zeros_like(h)
    dh[:, first] = du @ weight
    return dh, du.T @ h[:, first], du.sum(0)


backwards(
    "pooler",
    ("1 - u², of the input", lambda dy, y, h, weight, bias: pooler_of(
        dy * (1 - (h[:, 0] @ weight.T + bias) ** 2), h, weight),
     "1 - u² uses what went into tanh. The short rule is for what came out: 1 - y²."),
    ("1 - y", lambda dy, y, h, weight: pooler_of(dy * (1 - y), h, weight),
     "The slope of tanh is 1 - y²: the square is missing."),
    ("tanh left out", lambda dy, y, h, weight: pooler_of(dy, h, weight),
     "The gradient walks past the tanh: multiply by 1 - y²."),
    ("to all tokens", lambda dy, y, h, weight: {
        "h": np.repeat((dy * (1 - y * y) @ weight)[:, None], h.shape[1], 1)},
     "All tokens get the gradient. Only the first one, [CLS], was read: the others get 0."),
    ("to the last token", lambda dy, y, h, weight: {"h": pooler_of(dy * (1 - y * y), h, weight, -1)[0]},
     "The last token gets the gradient; the first one, [CLS], was read."),
    ("shared among all tokens", lambda dy, y, h, weight: {
        "h": np.repeat((dy * (1 - y * y) @ weight)[:, None], h.shape[1], 1) / h.shape[1]},
     "The gradient is shared among all tokens, as if their mean had been read. Only [CLS] was."),
)  # fmt: skip

backwards(
    "add_positions",
    ("mean over the batch", lambda dy, table: {"table": put(table, np.arange(dy.shape[1]), dy.mean(0))},
     "The positions' gradient is a mean over the batch. Every sequence reads the same table: sum."),
    ("first sequence only", lambda dy, table: {"table": put(table, np.arange(dy.shape[1]), dy[0])},
     "Only the first sequence reaches the table of positions: sum over all of them."),
    ("summed over the sequence too", lambda dy, table: {
        "table": put(table, np.arange(dy.shape[1]), dy.sum((0, 1)))},
     "Every position got the same sum. Sum over the sequences, not over the positions: each has a row of its own."),
    ("unused positions filled", lambda dy, table: {
        "table": put(table, np.arange(dy.shape[1]), dy.sum(0)) + put(
            table, np.arange(dy.shape[1], len(table)), dy.sum((0, 1)))},
     "Positions past the end of every sequence get a gradient. Nothing reads them: 0."),
    ("not cut to the table", lambda dy, table: {"table": dy.sum(0)},
     "The gradient has a row for each position that occurs; the table has more: the others are 0."),
)  # fmt: skip

backwards(
    "tied_table",
    ("only the scores' half", lambda dy, ids, table: dy.T @ table[ids],
     "The table is used twice, and only its use as scores is there. Add the gradient of the lookup."),
    ("only the lookup's half", lambda dy, ids, table: F.embedding_backward(dy @ table, ids, table),
     "The table is used twice, and only the lookup is there (or it has overwritten the other): add both."),
    ("averaged", lambda dy, ids, table: 0.5 * (dy.T @ table[ids] + F.embedding_backward(dy @ table, ids, table)),
     "The two gradients of the shared table are averaged. They add up."),
    ("lookup assigned", lambda dy, ids, table: dy.T @ table[ids] + put(table, ids, dy @ table),
     "The lookup's half keeps one gradient of a repeated word: add them up (np.add.at)."),
    ("lookup over the scores", lambda dy, ids, table: put(dy.T @ table[ids], ids, dy @ table) + np.where(
        np.isin(np.arange(len(table)), ids)[:, None], 0.0, dy.T @ table[ids]),
     "The lookup writes over the rows that the scores had filled: add to them."),
)  # fmt: skip


# forwards

forwards(
    "softmax",
    ("over the wrong axis", lambda x: np.exp(x - x.max(-2, keepdims=True)) / total(np.exp(x - x.max(-2, keepdims=True)),
                                                                               -2),
     "It normalises over the axis before the last. Rows add up to 1: use the last axis."),
    ("over everything", lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum(),
     "The whole array adds up to 1. Every row should: sum over the last axis, with keepdims."),
    ("largest not subtracted", lambda x: _quiet(lambda: np.exp(x) / total(np.exp(x))),
     "exp overflows for large numbers. Subtract each row's largest first: it cancels in the quotient."),
)  # fmt: skip

forwards(
    "masked_softmax",
    ("masked afterwards", lambda x, mask=None: F.softmax(x) * (1.0 if mask is None else mask),
     "The mask comes after the softmax, so the keys that are left do not add up to 1. Mask the scores."),
    ("minus ten", lambda x, mask=None: softmax_of_mask(x, mask, x - 10.0),
     "Masked scores are lowered by 10, so masked keys keep some attention: exp(-10) is 0.00005. They must get 0."),
    ("a row without keys", lambda x, mask=None: softmax_of_mask(x, mask, -1e9),
     "A row that may read no key shares its attention among all masked ones. It must give zeros."),
    ("minus infinity", lambda x, mask=None: _quiet(softmax_of_mask, x, mask, -np.inf),
     "A row that may read no key gives NaN: infinity minus infinity. It must give zeros."),
    ("zero for masked", lambda x, mask=None: softmax_of_mask(x, mask, 0.0),
     "Masked scores are set to 0, and exp(0) = 1 takes part. Leave masked keys out of the sum."),
    ("mask turned round", lambda x, mask=None: F.masked_softmax(x, None if mask is None else ~mask),
     "The mask is turned round: true means that the key may be read."),
)  # fmt: skip

forwards(
    "attention",
    ("no scale", lambda query, **c: attend(query, **c, scale=math.sqrt(query.shape[-1])),
     "The scores are not divided by sqrt(D)."),
    ("divided by D", lambda query, **c: attend(query, **c, scale=1 / math.sqrt(query.shape[-1])),
     "The scores are divided by D; it should be sqrt(D)."),
    ("scale of the hidden size", lambda query, **c: attend(query, **c, scale=1 / math.sqrt(query.shape[1])),
     "The scores are divided by sqrt(A D). Each head is scaled by its own size, sqrt(D)."),
    ("mask ignored", lambda mask=None, **c: attend(**c),
     "The mask is not used: padded keys are read."),
    ("masked afterwards", lambda **c: attend(
        **c, softmax=lambda x, mask: F.softmax(x) * (1.0 if mask is None else mask)),
     "The mask comes after the softmax, so the keys that are left do not add up to 1. Mask the scores before it."),
    ("minus ten", lambda **c: attend(**c, softmax=lambda x, mask: softmax_of_mask(x, mask, x - 10.0)),
     "Masked scores are lowered by 10 only: a padded key still gets some attention."),
    ("a row without keys", lambda **c: attend(**c, softmax=lambda x, mask: softmax_of_mask(x, mask, -1e9)),
     "A query that may read no key reads all the masked ones alike. It must give zeros."),
    ("mask on the query axis", lambda mask=None, **c: attend(
        **c, softmax=lambda x, _: F.masked_softmax(x, None if mask is None else _on_queries(mask, x))),
     "The mask hides queries. It must hide keys: its last axis is the keys', (B, 1, 1, K)."),
    ("softmax over the queries", lambda **c: attend(
        **c, softmax=lambda x, mask: turned(F.masked_softmax(turned(x), None if mask is None else turned(
            np.broadcast_to(mask, x.shape))))),
     "The softmax runs over the queries. Each query divides its attention among the keys: the last axis."),
    ("dropout without rescaling", lambda **c: attend(**c, drop=lambda x, keep, p: x if keep is None else x * keep),
     "Dropout of the probabilities lacks the division by 1 - p."),
    ("probabilities after dropout", lambda **c: (attend(**c)[0], F.dropout(attend(**c)[1], c.get("keep"), c.get("p"))),
     "What is returned as probabilities has gone through dropout; the backward needs them as they were before."),
)  # fmt: skip

forwards(
    "layer_norm",
    ("n - 1", lambda x, weight, bias, eps=1e-12: normalised(
        x, weight, bias, np.sqrt(x.var(-1, keepdims=True, ddof=1) + eps)),
     "The variance is divided by H - 1. BERT's is the biased one: divide by H."),
    ("eps outside the root", lambda x, weight, bias, eps=1e-12: normalised(
        x, weight, bias, x.std(-1, keepdims=True) + eps),
     "eps is added to the standard deviation. It belongs inside the root, beside the variance; rows that are almost "
     "constant tell."),
    ("n - 1 and eps outside", lambda x, weight, bias, eps=1e-12: normalised(
        x, weight, bias, x.std(-1, keepdims=True, ddof=1) + eps),
     "Two things: the variance is divided by H - 1 instead of H, and eps stands outside the root."),
    ("no eps", lambda x, weight, bias, eps=1e-12: normalised(x, weight, bias, x.std(-1, keepdims=True)),
     "eps is missing: beside a large eps, or in a row that is almost constant, it counts."),
    ("variance for its root", lambda x, weight, bias, eps=1e-12: normalised(
        x, weight, bias, x.var(-1, keepdims=True) + eps),
     "It divides by the variance; take the root first."),
    ("over the tokens", lambda x, weight, bias, eps=1e-12: (
        weight * (x - mean(x, -2)) / np.sqrt(x.var(-2, keepdims=True) + eps) + bias,
        (x - mean(x, -2)) / np.sqrt(x.var(-2, keepdims=True) + eps), F.layer_norm(x, weight, bias, eps)[2]),
     "Mean and variance run over the tokens. Every token is normalised for itself: last axis."),
    ("gamma and beta swapped", lambda x, weight, bias, eps=1e-12: F.layer_norm(x, bias, weight, eps),
     "gamma is added and beta multiplied: y = gamma x_hat + beta."),
    ("affine left out", lambda x, weight, bias, eps=1e-12: (
        F.layer_norm(x, weight, bias, eps)[1], *F.layer_norm(x, weight, bias, eps)[1:]),
     "gamma and beta are not used: y = gamma x_hat + beta."),
    ("the fifth decimal's eps", lambda x, weight, bias, eps=1e-12: F.layer_norm(x, weight, bias, 1e-5),
     "eps is 1e-5 whatever is asked for. BERT's is 1e-12."),
)  # fmt: skip

forwards(
    "gelu",
    ("tanh form", lambda x: F.gelu_new(x),
     "That is the tanh form, which differs by up to 0.0005. The published BERT checkpoints use erf."),
    ("sigmoid form", lambda x: x * sigma(1.702 * x),
     "That is x sigmoid(1.702 x), a rough stand-in: up to 0.02 off."),
    ("sqrt(2) forgotten", lambda x: 0.5 * x * (1 + np.vectorize(math.erf, otypes=[float])(x)),
     "erf wants x / sqrt(2): the normal distribution has variance 1."),
    ("only Phi", lambda x: Phi(x),
     "That is Phi(x); the factor x is missing."),
)  # fmt: skip

forwards(
    "dropout",
    ("no rescaling", lambda x, keep=None, p=0.0: x if keep is None else x * keep,
     "The division by 1 - p is missing: without it the expected value shrinks while training."),
    ("mask turned round", lambda x, keep=None, p=0.0: x if keep is None else x * ~keep / (1 - p),
     "It keeps what should be dropped: true in the mask means kept."),
    ("times 1 - p", lambda x, keep=None, p=0.0: x if keep is None else x * keep * (1 - p),
     "It multiplies by 1 - p where it should divide."),
    ("active when off", lambda x, keep=None, p=0.0: x * 0.75 if keep is None else x * keep / (1 - p),
     "With keep None nothing is dropped: the output is x itself."),
)  # fmt: skip

forwards(
    "cross_entropy",
    ("mean over all rows", lambda logits, labels, **c: (
        F.cross_entropy(logits, labels, **c)[0] * number_of(labels, c.get("ignore_index", -100)) / len(labels),
        F.log_softmax(logits)),
     "The sum is divided by all rows. Only the labelled ones are in it: divide by their number."),
    ("sum", lambda logits, labels, **c: (
        F.cross_entropy(logits, labels, **c)[0] * number_of(labels, c.get("ignore_index", -100)),
        F.log_softmax(logits)),
     "That is a sum; the loss is a mean over the labelled rows, or it would grow with the batch."),
    ("unlabelled rows counted", lambda logits, labels, ignore_index=-100, label_smoothing=0.0: F.cross_entropy(
        logits, np.where(labels == ignore_index, 0, labels), ignore_index, label_smoothing),
     "Rows without a label are in the loss, as if they were of class 0."),
    ("class 0 not counted", lambda logits, labels, ignore_index=-100, label_smoothing=0.0: F.cross_entropy(
        logits, np.where(labels == 0, ignore_index, labels), ignore_index, label_smoothing),
     "Rows of class 0 are left out. Only ignore_index marks a row without a label."),
    ("base two", lambda logits, labels, **c: (
        F.cross_entropy(logits, labels, **c)[0] / math.log(2), F.log_softmax(logits)),
     "The logarithm is to base 2; the loss uses the natural one."),
    ("smoothing ignored", lambda logits, labels, ignore_index=-100, label_smoothing=0.0: F.cross_entropy(
        logits, labels, ignore_index),
     "The label smoothing is not used."),
)  # fmt: skip

forwards(
    "adamw",
    ("decay through the gradient", lambda parameter, gradient, weight_decay, scale=1.0, **c: F.adamw(
        parameter, gradient * scale + weight_decay * parameter, weight_decay=0.0, **c),
     "The decay goes through the gradient and its moments: that is L2 regularisation in Adam. AdamW shrinks the "
     "parameter directly, beside the step."),
    ("decay without lr", lambda parameter, weight_decay, **c: F.adamw(
        parameter * (1 - weight_decay), weight_decay=0.0, **c),
     "The decay lacks the learning rate: it shrinks by lr times weight_decay."),
    ("no decay", lambda weight_decay, **c: F.adamw(weight_decay=0.0, **c),
     "The weight decay is not used."),
    ("bias correction forgotten", lambda bias_correction=True, **c: F.adamw(bias_correction=False, **c),
     "The moments begin at zero and are too small at first: divide by 1 - beta^t."),
    ("bias correction always", lambda bias_correction=True, **c: F.adamw(bias_correction=True, **c),
     "The bias correction is on although it was turned off, as for BERT's own training."),
    ("steps from 0", lambda step, **c: F.adamw(step=step - 1, **c),
     "Steps are counted from 1; yours is one behind."),
    ("eps inside the root", lambda parameter, gradient, mean, variance, eps, **c: _adamw_inside(
        parameter, gradient, mean, variance, eps, **c),
     "eps stands inside the root. It is added to the root: sqrt(v) + eps."),
    ("betas swapped", lambda betas, **c: F.adamw(betas=betas[::-1], **c),
     "The two betas have changed places."),
    ("scale ignored", lambda scale=1.0, **c: F.adamw(**c),
     "The scale of the clipping is not used."),
)  # fmt: skip

forwards(
    "clip_scale",
    ("lengthens too", lambda gradient, max_norm, eps=1e-6: (
        max_norm / (np.sqrt(gradient @ gradient) + eps), np.sqrt(gradient @ gradient)),
     "A short gradient is made longer. Clipping only shortens: at most 1."),
    ("square for root", lambda gradient, max_norm, eps=1e-6: (
        np.minimum(max_norm / (gradient @ gradient + eps), 1.0), gradient @ gradient),
     "The norm is the root of the sum of squares; the root is missing."),
    ("largest element", lambda gradient, max_norm, eps=1e-6: (
        np.minimum(max_norm / (np.abs(gradient).max() + eps), 1.0), np.abs(gradient).max()),
     "The largest element is compared; the norm is the root of the sum of squares over all gradients together."),
    ("mean of squares", lambda gradient, max_norm, eps=1e-6: (
        np.minimum(max_norm / (np.sqrt((gradient * gradient).mean()) + eps), 1.0), np.sqrt((gradient**2).mean())),
     "That is the root of the mean square; the norm takes the sum."),
)  # fmt: skip


forwards(
    "linear",
    ("offset forgotten", lambda x, weight, bias: x @ weight.T,
     "The offset b is not added."),
    ("weight not transposed", lambda x, weight, bias: x @ weight + bias,
     "x is multiplied with the weight as it lies. The weight is (out, in): transpose it, x WT."),
)  # fmt: skip

forwards(
    "split_heads",
    ("reshape only", lambda x, heads: x.reshape(len(x), heads, x.shape[1], -1),
     "The heads are cut by a reshape alone, which mixes tokens. Reshape to (B, S, A, D), then transpose (0, 2, 1, 3)."),
    ("heads interleaved", lambda x, heads: x.reshape(*x.shape[:2], -1, heads).transpose(0, 3, 1, 2),
     "The heads are cut out with a stride; head a owns the components a D to (a + 1) D: reshape to (B, S, A, D)."),
    ("not transposed", lambda x, heads: x.reshape(*x.shape[:2], heads, -1),
     "The heads still stand after the tokens, (B, S, A, D): transpose (0, 2, 1, 3)."),
)  # fmt: skip

forwards(
    "merge_heads",
    ("reshape only", lambda x: x.reshape(len(x), x.shape[2], -1),
     "A reshape alone mixes heads and tokens. Transpose (B, A, S, D) to (B, S, A, D) first."),
    ("heads interleaved", lambda x: x.transpose(0, 2, 3, 1).reshape(len(x), x.shape[2], -1),
     "The heads are woven into each other; they stand side by side: transpose (0, 2, 1, 3) before the reshape."),
    ("not put together", lambda x: x.transpose(0, 2, 1, 3),
     "The heads stand beside the tokens, (B, S, A, D), but are not joined: a reshape to (B, S, H) is missing."),
)  # fmt: skip

forwards(
    "packed_attention",
    ("mask ignored", lambda mask=None, **c: F.packed_attention(**c),
     "The mask is not used: keys are read that may not be."),
    ("dropout ignored", lambda keep=None, p=0.0, **c: F.packed_attention(**c),
     "The dropout is not used: keep[b] belongs to the shares of sequence b."),
    ("sequences read each other", lambda query, key, value, heads, **c: F.packed_attention(
        query, key, value, np.array([len(query)]), np.array([len(key)]), heads),
     "Tokens read the tokens of all sequences. Each sequence of the packed batch is by itself."),
)  # fmt: skip

forwards(
    "feed_forward",
    ("activation left out", lambda x, weight1, bias1, weight2, bias2: _two_maps(
        x, weight1, bias1, weight2, bias2, lambda u: u),
     "Nothing bends between the two maps, so they are one linear map. The second reads gelu(u)."),
    ("relu", lambda x, weight1, bias1, weight2, bias2: _two_maps(x, weight1, bias1, weight2, bias2, F.relu),
     "The activation is relu; here it is gelu."),
    ("second offset forgotten", lambda x, weight1, bias1, weight2, bias2: _two_maps(
        x, weight1, bias1, weight2, 0.0, F.gelu),
     "The second offset is not added."),
    ("gelu(u) for u", lambda x, weight1, bias1, weight2, bias2: (
        _two_maps(x, weight1, bias1, weight2, bias2, F.gelu)[0], F.gelu(F.linear(x, weight1, bias1))),
     "What is returned as u is gelu(u). The backward needs u itself, what went into the activation."),
)  # fmt: skip


def _two_maps(x, weight1, bias1, weight2, bias2, activation):
    u = F.linear(x, weight1, bias1)
    return activation(u) @ weight2.T + bias2, u


def _quiet(function, *arguments):
    with np.errstate(invalid="ignore", over="ignore"):
        return function(*arguments)


def _on_queries(mask, x):
    """A mask of keys laid over the queries, as far as there are queries."""
    mask = np.broadcast_to(mask, x.shape)
    return np.broadcast_to(turned(mask)[..., : x.shape[-2], :1], x.shape)


def _adamw_inside(
    parameter, gradient, mean, variance, eps, step, lr, betas, weight_decay, bias_correction=True, scale=1.0
):
    (b1, b2), g = betas, gradient * scale
    mean, variance = b1 * mean + (1 - b1) * g, b2 * variance + (1 - b2) * g * g
    c1, c2 = (1 - b1**step, 1 - b2**step) if bias_correction else (1.0, 1.0)
    step = lr * (mean / c1 / np.sqrt(variance / c2 + eps) + weight_decay * parameter)
    return parameter - step, mean, variance


def mistakes(formula=None):
    """All known mistakes, or those of one formula: its backwards first, then its forwards."""
    names = list(dict.fromkeys([*BACKWARD, *FORWARD])) if formula is None else [formula]
    return [mistake for name in names for mistake in (*BACKWARD.get(name, ()), *FORWARD.get(name, ()))]
