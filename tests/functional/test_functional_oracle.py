"""Every formula against PyTorch in double precision: forwards against its functions, backwards against its autograd."""

import numpy as np
import pytest
from formula_cases import CASES, OUTPUTS, cases_of
from gradients import assert_close

import bertnp.functional as F

pytestmark = pytest.mark.oracle("torch")
torch = pytest.importorskip("torch")
TF = torch.nn.functional


def _masked_softmax(x, mask=None):
    if mask is None:
        return torch.softmax(x, -1)
    y = torch.softmax(x.masked_fill(~mask, torch.finfo(x.dtype).min), -1)
    return y.masked_fill(~mask, 0)  # a row without keys gives zeros


def _attention(query, key, value, mask=None, keep=None, p=0.0):
    if keep is None and (mask is None or mask.any(-1).all()):
        return TF.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    probabilities = _masked_softmax(query @ key.mT / query.shape[-1] ** 0.5, mask)
    return (probabilities if keep is None else probabilities * keep / (1 - p)) @ value


def _packed_attention(query, key, value, query_lengths, lengths, heads, mask=None, keep=None, p=0.0):
    y = []
    sizes = (query_lengths.tolist(), lengths.tolist(), lengths.tolist())
    per_sequence = zip(*(x.split(n) for x, n in zip((query, key, value), sizes, strict=True)), strict=True)
    for b, sequence in enumerate(per_sequence):
        q, k, v = (TORCH["split_heads"](x[None], heads) for x in sequence)
        Q, K = len(sequence[0]), len(sequence[1])
        own_mask = None if mask is None else mask[b].expand(query_lengths.max(), -1)[:Q, :K]
        own_keep = None if keep is None else keep[b, :, :Q, :K]
        y.append(TORCH["merge_heads"](_attention(q, k, v, own_mask, own_keep, p))[0])
    return torch.cat(y)


def _residual_norm(x, bias, residual, norm_weight, norm_bias, keep=None, p=0.0, eps=1e-12):
    branch = TORCH["dropout"](x + bias, keep, p)
    return TF.layer_norm(residual + branch, norm_weight.shape, norm_weight, norm_bias, eps)


def _positional_encoding(x, positions):
    H = x.shape[-1]
    wavelengths = 10000.0 ** (torch.arange(0, H, 2, dtype=x.dtype) / H)
    angles = torch.from_numpy(positions)[..., None] / wavelengths
    table = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)[..., :H]
    return x * H**0.5 + table


def _scatter_rows(x, index, n):
    return torch.zeros(n, x.shape[1], dtype=x.dtype).index_copy(0, index, x)


def _adamw(parameter, gradient, mean, variance, step, lr, betas, eps, weight_decay, bias_correction=True, scale=1.0):
    from torch.optim.adamw import adamw  # the step as a function

    if not bias_correction:  # PyTorch always corrects: give it rates that undo it
        root = (1 - betas[1] ** step) ** 0.5
        decay, weight_decay = lr * weight_decay * parameter, 0.0
        lr, eps = lr * (1 - betas[0] ** step) / root, eps / root
    after, mean, variance = parameter.clone(), mean.clone(), variance.clone()
    adamw(
        [after], [gradient * scale], [mean], [variance], [], [torch.tensor(float(step - 1))], foreach=False,
        amsgrad=False, beta1=betas[0], beta2=betas[1], lr=lr, weight_decay=weight_decay, eps=eps, maximize=False,
    )  # fmt: skip
    return after if bias_correction else after - decay, mean, variance


def _clip_scale(gradient, max_norm, eps=1e-6):
    parameter = torch.nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient.clone()
    norm = torch.nn.utils.clip_grad_norm_([parameter], max_norm)
    largest = gradient.abs().argmax()
    scale = parameter.grad[largest] / gradient[largest] if norm > 0 else torch.ones((), dtype=gradient.dtype)
    return scale, norm


TORCH = {
    "linear": TF.linear,
    "product": TF.linear,
    "gelu_feed_forward": lambda x, weight1, bias1, weight2: TF.linear(TF.gelu(TF.linear(x, weight1, bias1)), weight2),
    "residual_norm": _residual_norm,
    "packed_attention": _packed_attention,
    "gelu": TF.gelu,
    "gelu_new": lambda x: TF.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x))),
    "relu": lambda x: TF.relu(x),
    "sigmoid": torch.sigmoid,
    "silu": lambda x: TF.silu(x),
    "tanh": torch.tanh,
    "softmax": lambda x: TF.softmax(x, -1),
    "log_softmax": lambda x: TF.log_softmax(x, -1),
    "masked_softmax": _masked_softmax,
    "attention": _attention,
    "split_heads": lambda x, heads: x.unflatten(-1, (heads, -1)).permute(0, 2, 1, 3),
    "merge_heads": lambda x: x.permute(0, 2, 1, 3).flatten(-2),
    "mask_heads": lambda x, head_mask: (x.unflatten(-1, (head_mask.shape[1], -1)) * head_mask[..., None]).flatten(-2),
    "layer_norm": lambda x, weight, bias, eps=1e-12: TF.layer_norm(x, weight.shape, weight, bias, eps),
    "dropout": lambda x, keep=None, p=0.0: x * 1 if keep is None else x * keep / (1 - p),
    "embedding": lambda ids, table, padding_idx=None: TF.embedding(ids, table, padding_idx),
    "positional_encoding": lambda x, positions: _positional_encoding(x, positions.numpy()),
    "gather_rows": lambda x, index: x.index_select(0, index),
    "scatter_rows": _scatter_rows,
    "cross_entropy": lambda logits, labels, ignore_index=-100, label_smoothing=0.0: TF.cross_entropy(
        logits, labels, ignore_index=ignore_index, label_smoothing=label_smoothing
    ),
    "binary_cross_entropy": lambda logits, targets: TF.binary_cross_entropy_with_logits(logits, targets),
    "weighted_cross_entropy": lambda logits, labels, class_weights, ignore_index=-100, label_smoothing=0.0: (
        TF.cross_entropy(logits, labels, class_weights, ignore_index=ignore_index, label_smoothing=label_smoothing)
    ),
    "weighted_binary_cross_entropy": lambda logits, targets, positive_weights: TF.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=positive_weights
    ),
    "mean_squared_error": lambda predictions, targets: TF.mse_loss(predictions, targets),
    "adamw": _adamw,
    "clip_scale": _clip_scale,
}

DEFINED = [case for case in CASES if not case.undefined_in_torch]


def run(case):
    """PyTorch's first output, and the tensors it was computed from."""
    tensors = {k: torch.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in case.arguments.items()}
    for name in case.wrt:
        tensors[name].requires_grad_()
    return TORCH[case.formula](**tensors), tensors


def test_every_formula_has_its_counterpart():
    assert set(TORCH) == {case.formula for case in CASES}


@pytest.mark.parametrize("case", DEFINED, ids=str)
def test_forward_is_that_of_pytorch(case):
    expected, _ = run(case)
    result = case.outputs(case.call(case.arguments))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for (name, value), reference in zip(result.items(), expected, strict=False):
        assert_close(value, reference.detach().numpy(), 1e-12, f"{case}, {name}")


@pytest.mark.parametrize("case", [case for case in DEFINED if case.wrt], ids=str)
def test_backward_is_that_of_autograd(case):
    y, tensors = run(case)
    dy = case.cotangent()
    y.backward(torch.as_tensor(dy, dtype=y.dtype))
    gradients = case.call_backward(dy, case.arguments, case.call(case.arguments))
    for name in case.wrt:
        assert_close(gradients[name], tensors[name].grad.numpy(), 1e-10, f"{case}, d{name}")


def test_extra_outputs_are_those_of_pytorch():
    """What forwards return beside y: probabilities, and the log-probabilities of a loss."""
    assert {name for name, outputs in OUTPUTS.items() if len(outputs) > 1} == {
        *("attention", "layer_norm", "residual_norm", "gelu_feed_forward", "cross_entropy", "adamw", "clip_scale"),
        "weighted_cross_entropy",
    }
    case = cases_of("attention")[2]
    q, k = (torch.from_numpy(case.arguments[name]) for name in ("query", "key"))
    expected = _masked_softmax(q @ k.mT / 2, torch.from_numpy(case.arguments["mask"]))
    assert_close(case.call(case.arguments)[1], expected.numpy(), 1e-12, "probabilities")
    case = cases_of("cross_entropy")[0]
    expected = torch.log_softmax(torch.from_numpy(case.arguments["logits"]), -1)
    assert_close(case.call(case.arguments)[1], expected.numpy(), 1e-12, "log_p")


def test_empty_loss_is_zero_where_pytorch_has_nan():
    (case,) = (case for case in CASES if case.undefined_in_torch)
    assert torch.isnan(run(case)[0])
    assert case.call(case.arguments)[0] == 0
    assert not F.cross_entropy_backward(1.7, case.call(case.arguments)[1], case.arguments["labels"]).any()
