"""The checks themselves: each typical mistake, in a forward or a backward, is rejected by some case of its formula."""

import math

import numpy as np
import pytest
from formula_cases import B, S, as_tuple, cases_of
from gradients import assert_gradients
from slow_formulas import assert_definition

import bertnp.functional as F

CDF, PDF = F.normal_cdf, F.normal_pdf


def linear_with(dx=None, dweight=None, dbias=None):
    """linear_backward with one of its gradients replaced by f(dy, x, weight)."""

    def backward(dy, x, weight):
        right = F.linear_backward(dy, x, weight)
        return tuple(r if f is None else f(dy, x, weight) for r, f in zip(right, (dx, dweight, dbias), strict=True))

    return backward


def layer_norm_with(dx=None, dweight=None, dbias=None):
    def backward(dy, x_hat, inv_std, weight):
        right = F.layer_norm_backward(dy, x_hat, inv_std, weight)
        wrong = (dx, dweight, dbias)
        return tuple(r if f is None else f(dy, x_hat, inv_std, weight) for r, f in zip(right, wrong, strict=True))

    return backward


def mean(x):
    return x.mean(axis=-1, keepdims=True)


def attention_with(change):
    """attention_backward with its three gradients passed through change(dquery, dkey, dvalue, D)."""

    def backward(dy, query, key, value, probabilities, keep=None, p=0.0):
        gradients = F.attention_backward(dy, query, key, value, probabilities, keep, p)
        return change(*gradients, query.shape[-1])

    return backward


def attention_without_dropout_backward(dy, query, key, value, probabilities, keep=None, p=0.0):
    return F.attention_backward(dy, query, key, value, probabilities)


def attention_dvalue_without_dropout(dy, query, key, value, probabilities, keep=None, p=0.0):
    dquery, dkey, _ = F.attention_backward(dy, query, key, value, probabilities, keep, p)
    return dquery, dkey, probabilities.swapaxes(-1, -2) @ dy


def attention_without_softmax_backward(dy, query, key, value, probabilities, keep=None, p=0.0):
    dscores = F.dropout_backward(dy @ value.swapaxes(-1, -2), keep, p) / math.sqrt(query.shape[-1])
    dvalue = F.dropout(probabilities, keep, p).swapaxes(-1, -2) @ dy
    return dscores @ key, dscores.swapaxes(-1, -2) @ query, dvalue


def embedding_backward_with(write):
    def backward(dy, ids, table, padding_idx=None):
        dtable = np.zeros_like(table)
        write(dtable, ids.reshape(-1), dy.reshape(-1, dy.shape[-1]))
        if padding_idx is not None:
            dtable[padding_idx] = 0
        return dtable

    return backward


def mean_over_repeats(dtable, ids, dy):
    np.add.at(dtable, ids, dy)
    dtable /= np.maximum(np.bincount(ids, minlength=len(dtable)), 1)[:, None]


def embedding_backward_ignoring_padding(dy, ids, table, padding_idx=None):
    return F.embedding_backward(dy, ids, table)


def cross_entropy_with(change):
    def backward(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
        right = F.cross_entropy_backward(dloss, log_p, labels, ignore_index, label_smoothing)
        return change(right, (labels != ignore_index).sum(), len(labels))

    return backward


def cross_entropy_leaking(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    counts = labels != ignore_index
    right = F.cross_entropy_backward(dloss, log_p, labels, ignore_index, label_smoothing)
    return np.where(counts[:, None], right, dloss * np.exp(log_p) / max(counts.sum(), 1))


def cross_entropy_without_label(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    counts = (labels != ignore_index)[:, None]
    return np.exp(log_p) * counts * dloss / max(counts.sum(), 1)


def cross_entropy_ignoring_upstream(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    return F.cross_entropy_backward(1.0, log_p, labels, ignore_index, label_smoothing)


def cross_entropy_ignoring_class_zero(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    right = F.cross_entropy_backward(dloss, log_p, labels, ignore_index, label_smoothing)
    return right * (labels != 0)[:, None]


def cross_entropy_without_smoothing(dloss, log_p, labels, ignore_index=-100, label_smoothing=0.0):
    return F.cross_entropy_backward(dloss, log_p, labels, ignore_index)


def gelu_new_derivative(dy, x):
    return F.gelu_new_backward(dy, x)


class FreshMask:
    """Dropout's backward with a mask of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __call__(self, dy, keep=None, p=0.0):
        return F.dropout_backward(dy, None if keep is None else self.rng.random(keep.shape) >= p, p)


def scaled_in_place(dy, y):
    dy *= y
    return dy - y * dy.sum(axis=-1, keepdims=True)


BACKWARDS = {
    # every formula
    "softmax: zeros": ("softmax", lambda dy, y: dy * 0),
    "softmax: sign": ("softmax", lambda dy, y: -F.softmax_backward(dy, y)),
    "softmax: the cotangent taken for ones": ("softmax", lambda dy, y: F.softmax_backward(np.ones_like(y), y)),
    "softmax: not linear": ("softmax", lambda dy, y: F.softmax_backward(dy, y) + 1e-9 * dy * dy),
    "softmax: input overwritten": ("softmax", scaled_in_place),
    "softmax: one element off": ("softmax", lambda dy, y: F.softmax_backward(dy, y) * (1 + 1e-6 * (y == y.max()))),
    # softmax
    "softmax: diagonal only": ("softmax", lambda dy, y: dy * y * (1 - y)),
    "softmax: no outer y": ("softmax", lambda dy, y: dy - (dy * y).sum(axis=-1, keepdims=True)),
    "softmax: log-softmax's rule": ("softmax", lambda dy, y: dy - y * dy.sum(axis=-1, keepdims=True)),
    "softmax: sum without y": ("softmax", lambda dy, y: y * (dy - dy.sum(axis=-1, keepdims=True))),
    "softmax: wrong axis": ("softmax", lambda dy, y: y * (dy - (dy * y).sum(axis=-2, keepdims=True))),
    "softmax: over the batch": ("softmax", lambda dy, y: F.softmax_backward(dy, y) / len(y)),
    "log_softmax: softmax's rule": ("log_softmax", lambda dy, y: F.softmax_backward(dy, np.exp(y))),
    "log_softmax: y for exp(y)": ("log_softmax", lambda dy, y: dy - y * dy.sum(axis=-1, keepdims=True)),
    "masked_softmax: diagonal only": ("masked_softmax", lambda dy, y: dy * y * (1 - y)),
    "masked_softmax: gradient at masked keys": ("masked_softmax", lambda dy, y: F.softmax_backward(dy, y + 1e-5)),
    # attention
    "attention: scale missing": ("attention", attention_with(lambda q, k, v, D: (q * D**0.5, k * D**0.5, v))),
    "attention: scaled twice": ("attention", attention_with(lambda q, k, v, D: (q / D**0.5, k / D**0.5, v))),
    "attention: query and key swapped": ("attention", attention_with(lambda q, k, v, D: (k, q, v))),
    "attention: key and value swapped": ("attention", attention_with(lambda q, k, v, D: (q, v, k))),
    "attention: dropout forgotten": ("attention", attention_without_dropout_backward),
    "attention: dropout forgotten for the values": ("attention", attention_dvalue_without_dropout),
    "attention: softmax forgotten": ("attention", attention_without_softmax_backward),
    "split_heads: reshape only": ("split_heads", lambda dy: dy.reshape(dy.shape[0], dy.shape[2], -1)),
    "merge_heads: reshape only": (
        "merge_heads",
        lambda dy, heads: dy.reshape(dy.shape[0], heads, dy.shape[1], dy.shape[2] // heads),
    ),
    "mask_heads: mask forgotten": (
        "mask_heads",
        lambda dy, x, head_mask: (dy, (dy * x).reshape(*head_mask.shape, -1).sum(axis=-1)),
    ),
    "mask_heads: x forgotten": (
        "mask_heads",
        lambda dy, x, head_mask: (F.mask_heads(dy, head_mask), dy.reshape(*head_mask.shape, -1).sum(axis=-1)),
    ),
    # layer norm
    "layer_norm: mean held constant": (
        "layer_norm",
        layer_norm_with(lambda dy, x_hat, inv_std, w: inv_std * (w * dy - x_hat * mean(w * dy * x_hat))),
    ),
    "layer_norm: variance held constant": (
        "layer_norm",
        layer_norm_with(lambda dy, x_hat, inv_std, w: inv_std * (w * dy - mean(w * dy))),
    ),
    "layer_norm: both held constant": ("layer_norm", layer_norm_with(lambda dy, x_hat, inv_std, w: inv_std * w * dy)),
    "layer_norm: gamma forgotten": (
        "layer_norm",
        layer_norm_with(lambda dy, x_hat, inv_std, w: inv_std * (dy - mean(dy) - x_hat * mean(dy * x_hat))),
    ),
    "layer_norm: gamma after the means": (
        "layer_norm",
        layer_norm_with(lambda dy, x_hat, inv_std, w: w * inv_std * (dy - mean(dy) - x_hat * mean(dy * x_hat))),
    ),
    "layer_norm: 1/std left out": (
        "layer_norm",
        layer_norm_with(lambda dy, x_hat, inv_std, w: w * dy - mean(w * dy) - x_hat * mean(w * dy * x_hat)),
    ),
    "layer_norm: n - 1": (
        "layer_norm",
        layer_norm_with(
            lambda dy, x_hat, inv_std, w: (
                inv_std * (w * dy - mean(w * dy) - x_hat * mean(w * dy * x_hat) * len(w) / (len(w) - 1))
            )
        ),
    ),
    "layer_norm: gamma's gradient from x": (
        "layer_norm",
        layer_norm_with(dweight=lambda dy, x_hat, inv_std, w: (dy * x_hat / inv_std).reshape(-1, len(w)).sum(0)),
    ),
    "layer_norm: gamma's gradient a mean": (
        "layer_norm",
        layer_norm_with(dweight=lambda dy, x_hat, inv_std, w: (dy * x_hat).reshape(-1, len(w)).mean(0)),
    ),
    "layer_norm: beta's gradient not summed over positions": (
        "layer_norm",
        layer_norm_with(dbias=lambda dy, x_hat, inv_std, w: dy.sum(axis=0)),
    ),
    "layer_norm: beta's gradient times x_hat": (
        "layer_norm",
        layer_norm_with(dbias=lambda dy, x_hat, inv_std, w: (dy * x_hat).reshape(-1, len(w)).sum(0)),
    ),
    # linear
    "linear: bias not summed over the sequence": ("linear", linear_with(dbias=lambda dy, x, w: dy.sum(axis=0))),
    "linear: bias a mean": ("linear", linear_with(dbias=lambda dy, x, w: dy.reshape(-1, len(w)).mean(axis=0))),
    "linear: weight transposed": (
        "linear",
        linear_with(dweight=lambda dy, x, w: x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, len(w))),
    ),
    "linear: weight over the batch": (
        "linear",
        linear_with(dweight=lambda dy, x, w: dy.reshape(-1, len(w)).T @ x.reshape(-1, x.shape[-1]) / len(x)),
    ),
    "linear: x by the transposed weight": ("linear", linear_with(dx=lambda dy, x, w: dy @ w.T)),
    # embedding
    "embedding: last of the repeated ids": (
        "embedding",
        embedding_backward_with(lambda dtable, ids, dy: dtable.__setitem__(ids, dy)),
    ),
    "embedding: += with repeated ids": (
        "embedding",
        embedding_backward_with(lambda dtable, ids, dy: dtable.__setitem__(ids, dtable[ids] + dy)),
    ),
    "embedding: mean over repeats": ("embedding", embedding_backward_with(mean_over_repeats)),
    "embedding: counts only": (
        "embedding",
        embedding_backward_with(lambda dtable, ids, dy: np.add.at(dtable, ids, np.ones_like(dy))),
    ),
    "embedding: one id off": (
        "embedding",
        embedding_backward_with(lambda dtable, ids, dy: np.add.at(dtable, ids + 1, dy)),
    ),
    "embedding: padding learns": ("embedding", embedding_backward_ignoring_padding),
    "gather_rows: added at the wrong end": (
        "gather_rows",
        lambda dy, index, n: F.scatter_rows(dy, np.sort(index), n),
    ),
    "scatter_rows: rows in order": ("scatter_rows", lambda dy, index: dy[: len(index)]),
    # dropout
    "dropout: not scaled": ("dropout", lambda dy, keep=None, p=0.0: dy if keep is None else dy * keep),
    "dropout: scaled by 1 - p": ("dropout", lambda dy, keep=None, p=0.0: dy if keep is None else dy * keep * (1 - p)),
    "dropout: no mask": ("dropout", lambda dy, keep=None, p=0.0: dy / (1 - p)),
    "dropout: a fresh mask": ("dropout", FreshMask()),
    "dropout: active when off": ("dropout", lambda dy, keep=None, p=0.0: dy * 0.75),
    # activations
    "gelu: cdf only": ("gelu", lambda dy, x: dy * CDF(x)),
    "gelu: pdf without x": ("gelu", lambda dy, x: dy * (CDF(x) + PDF(x))),
    "gelu: exp(-x²)": ("gelu", lambda dy, x: dy * (CDF(x) + x * np.exp(-x * x) / math.sqrt(2 * math.pi))),
    "gelu: the other form's derivative": ("gelu", gelu_new_derivative),
    "gelu_new: the other form's derivative": ("gelu_new", lambda dy, x: F.gelu_backward(dy, x)),
    "gelu_new: 3 forgotten": (
        "gelu_new",
        lambda dy, x: (
            dy
            * (
                0.5 * (1 + (t := np.tanh((c := math.sqrt(2 / math.pi)) * (x + 0.044715 * x**3))))
                + 0.5 * x * (1 - t * t) * c * (1 + 0.044715 * x * x)
            )
        ),
    ),
    "gelu_fast: gelu_new's derivative": ("gelu_fast", lambda dy, x: F.gelu_new_backward(dy, x)),
    "relu: mask of dy": ("relu", lambda dy, y: dy * (dy > 0)),
    "relu: y for the mask": ("relu", lambda dy, y: dy * y),
    "sigmoid: 1 - y²": ("sigmoid", lambda dy, y: dy * (1 - y * y)),
    "silu: sigmoid only": ("silu", lambda dy, x: dy * F.sigmoid(x)),
    "tanh: 1 - y": ("tanh", lambda dy, y: dy * (1 - y)),
    "tanh: of the output once more": ("tanh", lambda dy, y: dy * (1 - np.tanh(y) ** 2)),
    # losses
    "cross_entropy: over all rows": ("cross_entropy", cross_entropy_with(lambda d, N, n: d * N / n)),
    "cross_entropy: sum": ("cross_entropy", cross_entropy_with(lambda d, N, n: d * N)),
    "cross_entropy: over the batch": ("cross_entropy", cross_entropy_with(lambda d, N, n: d * N / B)),
    "cross_entropy: over the sequence": ("cross_entropy", cross_entropy_with(lambda d, N, n: d * N / S)),
    "cross_entropy: ignored rows leak": ("cross_entropy", cross_entropy_leaking),
    "cross_entropy: no label taken off": ("cross_entropy", cross_entropy_without_label),
    "cross_entropy: upstream ignored": ("cross_entropy", cross_entropy_ignoring_upstream),
    "cross_entropy: class 0 ignored": ("cross_entropy", cross_entropy_ignoring_class_zero),
    "cross_entropy: smoothing forgotten": ("cross_entropy", cross_entropy_without_smoothing),
    "binary_cross_entropy: sum": (
        "binary_cross_entropy",
        lambda dloss, logits, targets: (F.sigmoid(logits) - targets) * dloss,
    ),
    "binary_cross_entropy: through sigmoid's slope": (
        "binary_cross_entropy",
        lambda dloss, logits, targets: F.sigmoid_backward(
            F.binary_cross_entropy_backward(dloss, logits, targets), F.sigmoid(logits)
        ),
    ),
    "mean_squared_error: no 2": (
        "mean_squared_error",
        lambda dloss, predictions, targets: (predictions - targets) * dloss / predictions.size,
    ),
    "mean_squared_error: over the batch": (
        "mean_squared_error",
        lambda dloss, predictions, targets: 2 * (predictions - targets) * dloss / len(predictions),
    ),
}


def layer_norm_like(eps_outside=False, ddof=0, last_eps=None):
    def forward(x, weight, bias, eps=1e-12):
        eps = last_eps or eps
        variance = x.var(axis=-1, keepdims=True, ddof=ddof)
        inv_std = 1 / (np.sqrt(variance) + eps if eps_outside else np.sqrt(variance + eps))
        x_hat = (x - mean(x)) * inv_std
        return weight * x_hat + bias, x_hat, inv_std

    return forward


def attention_like(scale=lambda D: D**-0.5, mask_value=None, mask_after=False):
    def forward(query, key, value, mask=None, keep=None, p=0.0):
        scores = query @ key.swapaxes(-1, -2) * scale(query.shape[-1])
        if mask is not None and mask_value is not None:
            scores = np.where(mask, scores, scores * 0 + mask_value)
        probabilities = F.softmax(scores) if mask_after or mask_value else F.masked_softmax(scores, mask)
        if mask_after and mask is not None:
            probabilities = probabilities * mask
        return F.dropout(probabilities, keep, p) @ value, probabilities

    return forward


def adamw_like(decay_in_gradient=False, eps_inside=False, decay_after=False):
    def forward(
        parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0
    ):
        if decay_in_gradient:
            gradient, weight_decay = gradient + weight_decay * parameter, 0.0
        root = (lambda v: np.sqrt(v + eps)) if eps_inside else (lambda v: np.sqrt(v) + eps)
        m = betas[0] * mean + (1 - betas[0]) * gradient * scale
        v = betas[1] * variance + (1 - betas[1]) * (gradient * scale) ** 2
        c1, c2 = (1 - betas[0] ** step, 1 - betas[1] ** step) if bias_correction else (1, 1)
        update = m / c1 / root(v / c2)
        if decay_after:
            return (parameter - lr * update) * (1 - lr * weight_decay), m, v
        return parameter - lr * update - lr * weight_decay * parameter, m, v

    return forward


def cross_entropy_mean_of_all(logits, labels, ignore_index=-100, label_smoothing=0.0):
    loss, log_p = F.cross_entropy(logits, labels, ignore_index, label_smoothing)
    return loss * (labels != ignore_index).sum() / len(labels), log_p


def cross_entropy_smoothed_among_others(logits, labels, ignore_index=-100, label_smoothing=0.0):
    C = logits.shape[1]
    return F.cross_entropy(logits, labels, ignore_index, label_smoothing * C / (C - 1))


FORWARDS = {
    "layer_norm: eps outside the root": ("layer_norm", layer_norm_like(eps_outside=True)),
    "layer_norm: n - 1": ("layer_norm", layer_norm_like(ddof=1)),
    "layer_norm: PyTorch's eps": ("layer_norm", layer_norm_like(last_eps=1e-5)),
    "layer_norm: no eps": ("layer_norm", layer_norm_like(last_eps=1e-300)),
    "gelu: tanh form": ("gelu", lambda x: F.gelu_new(x)),
    "gelu_new: erf form": ("gelu_new", lambda x: F.gelu(x)),
    "gelu_fast: all digits": ("gelu_fast", lambda x: F.gelu_new(x)),
    "softmax: wrong axis": ("softmax", lambda x: F.softmax(x.swapaxes(-1, -2)).swapaxes(-1, -2)),
    "softmax: overflow": ("softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
    "log_softmax: log of softmax": ("log_softmax", lambda x: np.log(F.softmax(x))),
    "masked_softmax: mask ignored": ("masked_softmax", lambda x, mask=None: F.softmax(x)),
    "attention: no scale": ("attention", attention_like(scale=lambda D: 1.0)),
    "attention: 1/D": ("attention", attention_like(scale=lambda D: 1 / D)),
    "attention: root of the hidden size": ("attention", attention_like(scale=lambda D: (3 * D) ** -0.5)),
    "attention: mask of -10": ("attention", attention_like(mask_value=-10.0)),
    "attention: mask of -10000, empty rows attend": ("attention", attention_like(mask_value=-1e4)),
    "attention: masked after the softmax": ("attention", attention_like(mask_after=True)),
    "split_heads: reshape only": (
        "split_heads",
        lambda x, heads: x.reshape(x.shape[0], heads, x.shape[1], x.shape[2] // heads),
    ),
    "dropout: not scaled": ("dropout", lambda x, keep=None, p=0.0: x if keep is None else x * keep),
    "dropout: drops what it should keep": (
        "dropout",
        lambda x, keep=None, p=0.0: x if keep is None else x * ~keep / (1 - p),
    ),
    "linear: bias forgotten": ("linear", lambda x, weight, bias: x @ weight.T),
    "cross_entropy: mean of all rows": ("cross_entropy", cross_entropy_mean_of_all),
    "cross_entropy: smoothing shared among the others only": ("cross_entropy", cross_entropy_smoothed_among_others),
    "binary_cross_entropy: log of sigmoid": (
        "binary_cross_entropy",
        lambda logits, targets: (
            -np.mean(targets * np.log(F.sigmoid(logits)) + (1 - targets) * np.log(1 - F.sigmoid(logits)))
        ),
    ),
    "adamw: decay through the gradient": ("adamw", adamw_like(decay_in_gradient=True)),
    "adamw: eps inside the root": ("adamw", adamw_like(eps_inside=True)),
    "adamw: decay after the update": ("adamw", adamw_like(decay_after=True)),
    "clip_scale: grows short gradients": (
        "clip_scale",
        lambda gradient, max_norm, eps=1e-6: (
            max_norm / (np.sqrt(gradient @ gradient) + eps),
            np.sqrt(gradient @ gradient),
        ),
    ),
}


def rejections(formula, check):
    """The messages of those cases of a formula that reject a body, one after the other."""
    for case in cases_of(formula):
        try:
            check(case)
        except AssertionError as error:
            yield str(error)


@pytest.mark.parametrize("name", BACKWARDS)
def test_wrong_backwards_are_rejected(name):
    formula, wrong = BACKWARDS[name]
    message = next(rejections(formula, lambda case: assert_gradients(case, backward=wrong)), "")
    assert message.startswith(f"{formula}-")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FORWARDS)
def test_wrong_forwards_are_rejected(name):
    formula, wrong = FORWARDS[name]
    message = next(rejections(formula, lambda case: assert_definition(case, wrong)), "")
    assert message.startswith(f"{formula}-")


def test_right_bodies_are_accepted():
    """The same helpers, given right bodies of their own: rejections are no accident of how bodies are handed over."""
    right = {
        "softmax": lambda dy, y: F.softmax_backward(dy, y),
        "linear": linear_with(),
        "layer_norm": layer_norm_with(),
        "attention": attention_with(lambda dquery, dkey, dvalue, D: (dquery, dkey, dvalue)),
        "embedding": embedding_backward_with(np.add.at),
        "cross_entropy": cross_entropy_with(lambda dlogits, N, n: dlogits),
    }
    for formula, backward in right.items():
        assert not list(rejections(formula, lambda case, backward=backward: assert_gradients(case, backward=backward)))
    bodies = {"layer_norm": layer_norm_like(), "attention": attention_like(), "adamw": adamw_like()}
    for formula, body in bodies.items():
        assert not list(rejections(formula, lambda case, body=body: assert_definition(case, body)))


def test_a_wrong_forward_with_its_right_derivative_needs_the_definition():
    """Why forwards have a check of their own: this pair is consistent, and wrong."""
    (case, *_) = cases_of("gelu")
    assert_gradients(case, forward=lambda x: F.gelu_new.formula(x), backward=gelu_new_derivative)
    with pytest.raises(AssertionError):
        assert_definition(case, F.gelu_new)


def test_ones_as_cotangent_accept_a_softmax_without_gradient():
    """Why the cotangent is random: under ones the true gradient of a softmax is zero."""
    for case in cases_of("softmax"):
        y = case.call(case.arguments)
        dx = case.call_backward(np.ones_like(y), case.arguments, as_tuple(y))["x"]
        assert np.abs(dx).max() < 1e-15
