"""Chapters 17, 18 and 20: reading attention, writing with beams, and the museum."""

import math

import numpy as np

import bertnp.functional as F
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import compared, holds, properties, sieve
from bertnp.learn.stubs import looking as stubs
from bertnp.learn.subjects import subject
from bertnp.models.decoding import Beam


def some_attentions(rng, L, A, S):
    return F.softmax(rng.randn(L, 3, A, S, S) * 1.5)


ROLLOUT = subject(
    "attention_rollout",
    {
        "three layers": lambda rng: {"attentions": some_attentions(rng, L=3, A=2, S=4)},
        "one layer": lambda rng: {"attentions": some_attentions(rng, L=1, A=3, S=3)},
    },
    rows={"attentions": 1},
    known={"forward": {
        "other order": "The layers are multiplied in the other order: the last layer stands on the left, for it reads "
        "what those below have made.",
        "residual forgotten": "The residual is forgotten: half of each token's vector came straight through, which is "
        "1, the identity.",
        "not halved": "The rows do not add up to 1: the sum of shares and identity is to be halved.",
        "sum of the layers": "The layers are averaged. They follow one another, so their tables are multiplied.",
        "heads summed": "The heads are summed; take their mean.",
    }},
)  # fmt: skip


@properties
def judge_previous(head_of_previous, rng):
    for what in ("a head that looks back", "beside one that looks ahead"):
        L, B, A, S = 2, 4, 3, 6
        scores, lengths = rng.randn(L, B, A, S, S), rng.randint(2, 4, B)
        lengths[0] = S
        before, ahead, padded = (np.unravel_index(int(spot), (L, A)) for spot in rng.permutation(L * A)[:3])
        if "ahead" in what:
            s = np.arange(1, S)
            scores[ahead[0], :, ahead[1], s - 1, s] += 9.0
        for b, length in enumerate(lengths):  # and one that looks back the more, but only where there is padding
            for (layer, head), strength, s in (
                (before, 2.0, np.arange(1, length)), (padded, 40.0, np.arange(length, S))
            ):  # fmt: skip
                scores[layer, b, head, s, s - 1] += strength
        attentions = F.softmax(scores)
        counts = np.arange(1, S) < lengths[:, None]
        back_by_one = np.diagonal(attentions, offset=-1, axis1=-2, axis2=-1)
        right = np.unravel_index((back_by_one * counts[:, None]).sum(axis=(1, 3)).argmax(), (L, A))
        everywhere = np.unravel_index(back_by_one.sum(axis=(1, 3)).argmax(), (L, A))
        ahead_by_one = np.diagonal(attentions, offset=1, axis1=-2, axis2=-1)
        forward = np.unravel_index(ahead_by_one.sum(axis=(1, 3)).argmax(), (L, A))
        right, everywhere, forward = (tuple(int(i) for i in place) for place in (right, everywhere, forward))
        known = [
            (everywhere, "padding counted", "Rows of padding are counted too. Nobody reads what they look at."),
            (forward, "the next token", "That head looks at the token after. Row s, column s - 1 is the one before."),
            (right[::-1], "layer and head swapped", "Layer and head have changed places."),
        ]  # fmt: skip
        mine = head_of_previous(attentions, lengths)
        mine = tuple(int(i) for i in mine) if isinstance(mine, (tuple, list, np.ndarray)) else mine
        yield compared(what, mine, right, known)


@properties
def judge_floor(floor, rng):
    for classes, epsilon in ((4, 0.1), (37000, 0.1), (int(rng.randint(3, 50)), float(rng.uniform(0.05, 0.6)))):
        high, low = 1 - epsilon + epsilon / classes, epsilon / classes
        right = -high * math.log(high) - (classes - 1) * low * math.log(low)
        among = epsilon / (classes - 1)
        known = [
            (-math.log(1 - epsilon), "only the label",
             "That is the loss of the label alone. The other classes are in the sum, too."),
            (right / math.log(2), "bits", "That is in bits; the loss has the natural logarithm."),
            (-(1 - epsilon) * math.log(1 - epsilon) - epsilon * math.log(among), "shared among the others",
             "ε is shared among the other classes only. It goes to all C alike, the right one too."),
            (-high * math.log(high) - low * math.log(low), "one of the others",
             "All C - 1 other classes are in the sum."),
        ]  # fmt: skip
        yield compared(f"{classes} classes, ε = {epsilon:.3f}", floor(classes, epsilon), right, known)
    yield compared("without smoothing", float(floor(5, 0.0)) + 1.0, 1.0)


@properties
def judge_beam(beam_step, rng):
    for what, k, V in (("three beams", 3, 6), ("beams whose best are of one beginning", 4, 7), ("one beam", 1, 5)):
        totals = -np.sort(rng.rand(k) * (9.0 if "one beginning" in what else 1.5))
        log_p = F.log_softmax(rng.randn(k, V) * 2)
        ways = totals[:, None] + log_p
        right = picked(np.argsort(-ways, axis=None, kind="stable")[:k], ways)
        each = ways.argmax(axis=1)
        known = [
            (picked(np.argsort(-log_p, axis=None, kind="stable")[:k], ways), "beginnings forgotten",
             "The beginnings' own log-probabilities are not counted: a likely word after an unlikely beginning may be "
             "worse."),
            ((np.arange(k), each, ways[np.arange(k), each]), "the best of each",
             "Every beginning goes on once. The k best of all k · V ways stay; several may have the same beginning."),
            (picked(np.argsort(-ways, axis=None, kind="stable")[:k][::-1], ways), "the smallest first",
             "The k best are there, but the largest should come first."),
            (picked(np.argsort(ways, axis=None, kind="stable")[:k], ways), "the least likely",
             "Those are the least likely ways: sort downwards."),
        ]  # fmt: skip
        yield compared(f"{what}: {k} of {k * V} ways", as_arrays(beam_step(totals, log_p, k)), right, known)
    totals, log_p = np.array([-1.0, -np.inf, -np.inf]), F.log_softmax(rng.randn(3, 5))
    answer = as_arrays(beam_step(totals, log_p, 3))
    good = len(answer) == 3 and answer[0].tolist() == [0, 0, 0] and np.isfinite(answer[2]).all()
    sentence = "A beginning with log-probability -∞ is no beginning: nothing may come from it."
    yield holds("at the start only one beginning is taken", good, sentence, "ways from nowhere")


def picked(best, ways):
    parents, words = np.divmod(best, ways.shape[1])
    return parents, words, ways[parents, words]


def as_arrays(answer):
    return tuple(np.asarray(part) for part in answer) if isinstance(answer, (tuple, list)) else answer


# losses to be told apart, written without those of the library


def labelled(labels):
    return np.flatnonzero(labels != -100)


def at(logits, labels, rows):
    """log p of the labels of some rows."""
    return F.log_softmax(logits)[rows, labels[rows]]


def honest(logits, labels):
    return -at(logits, labels, labelled(labels)).mean()


def weighted(logits, labels):
    """By weights of 0 and 1."""
    log_p = at(logits, np.maximum(labels, 0), np.arange(len(labels)))
    return -(log_p * (labels != -100)).sum() / (labels != -100).sum()


def smoothed(logits, labels):
    return 0.98 * honest(logits, labels) - 0.02 * F.log_softmax(logits)[labelled(labels)].mean()


def cut_off(logits, labels):
    rows = labelled(labels)
    return -np.log(np.maximum(F.softmax(logits)[rows, labels[rows]], 1e-7)).mean()


def judge_trusts_loss(functions, seed):
    (accepts,) = functions.values()
    right = {
        "the mean over the labelled rows": honest,
        "a sum, divided": lambda z, y: -at(z, y, labelled(y)).sum() / len(labelled(y)),
        "by weights of 0 and 1": weighted,
    }
    some = "Leave some rows without a label: the loss must be the mean over the others alone."
    zero = "Have a row of class 0 among the labelled ones, and one that the model gets wrong."
    values = "Compute the loss of a few rows by hand, and compare."
    large = "Try logits of some hundreds."
    wrong = {
        "exhibit 3: the mean before the mask": (lambda z, y: -at(z, np.maximum(y, 0), np.arange(len(y))).mean(), some),
        "exhibit 4: the mean over everybody": (lambda z, y: -at(z, y, labelled(y)).sum() / len(y), some),
        "exhibit 5: class 0 is never asked": (lambda z, y: honest(z, np.where(y == 0, -100, y)), zero),
        "a sum": (lambda z, y: honest(z, y) * len(labelled(y)), values),
        "label -100 read from the end": (lambda z, y: -at(z, y % z.shape[1], np.arange(len(y))).mean(), some),
        "bits": (lambda z, y: honest(z, y) / math.log(2), values),
        "shares for their logarithms": (lambda z, y: -np.exp(at(z, y, labelled(y))).mean(), values),
        "scores taken for logarithms": (lambda z, y: -z[labelled(y), y[labelled(y)]].mean(), values),
        "the sign turned round": (lambda z, y: -honest(z, y), values),
        "only the first labelled row": (lambda z, y: -at(z, y, labelled(y)[:1]).mean(), values),
        "only the first half of the rows": (
            lambda z, y: honest(z[: (len(y) + 1) // 2], y[: (len(y) + 1) // 2]),
            values,
        ),
        "the logarithm of a softmax, cut off": (cut_off, large),
        "exp overflows": (lambda z, y: honest(np.where(np.abs(z) > 700, np.nan, z), y), large),
        "smoothed a little": (smoothed, values),
    }
    with np.errstate(all="ignore"):
        return sieve("trusts_loss", accepts, right, wrong)


EXERCISES = [
    Exercise(
        "17.1",
        "Attention rollout",
        "Multiply the layers' shares, each mixed half and half with what came straight through.",
        ("attention_rollout",),
        {"attention_rollout": stubs.attention_rollout},
        ROLLOUT,
        (
            "Row s of a layer's table says what token s reads in the layer below. Two layers: a product of two tables.",
            "Mean over the heads first; then half of it and half of the identity, np.eye(S). The rows still add up to "
            "1.",
            "Begin with the identity, and go from the first layer to the last, each multiplied from the left; @ "
            "multiplies all sequences of the batch at once.",
        ),
        points=2,
    ),
    Exercise(
        "17.2",
        "The head that looks back",
        "Find the head that gives most attention to the token before.",
        ("head_of_previous",),
        {"head_of_previous": stubs.head_of_previous},
        judge_previous,
        (
            "What stands in row s, column s - 1 of a table of shares? And which rows are of padding?",
            "np.diagonal(…, offset=-1, axis1=-2, axis2=-1) fetches those shares for all tables at once: for s from 1 "
            "on.",
            "Count s only where s < length; sum over sequences and tokens; argmax of what is left, (L, A), and "
            "np.unravel_index.",
        ),
        points=2,
    ),
    Exercise(
        "18.2",
        "The floor of a smoothed loss",
        "Write the least loss that smoothed labels allow.",
        ("smoothing_floor",),
        {"smoothing_floor": stubs.smoothing_floor},
        judge_floor,
        (
            "The loss is least where the shares are the target itself. What is it then?",
            "A sum over all classes of -t log t. Two values of t occur: one class has the label, C - 1 have not.",
            "The label has 1 - ε + ε/C, each of the others ε/C. For ε = 0 the others add nothing: 0 log 0 is 0.",
        ),
    ),
    Exercise(
        "18.6",
        "One step of a beam",
        "Go on from k beginnings to the k likeliest of all their continuations.",
        ("beam_step",),
        {"beam_step": stubs.beam_step},
        judge_beam,
        (
            "Log-probabilities along a way add up. How many ways are there, and which k stay?",
            "Put the (k, V) sums in one row and find its k largest; from a place in that row back to beginning and "
            "word lead division and remainder by V.",
            "np.argsort of minus the flattened sums, its first k; np.divmod(those, V) gives parents and words.",
        ),
        points=2,
        closed={"Beam.extend": Beam.extend},
    ),
    Exercise(
        "20.2",
        "A guard for the museum",
        "Write a test of ten lines that catches exhibits 3, 4 and 5, and eleven others, and accepts the right loss.",
        ("trusts_loss",),
        {"trusts_loss": stubs.trusts_loss},
        judge_trusts_loss,
        (
            "What do all three exhibits need in the data to show themselves?",
            "Some rows without a label, not all in the second half; a label of class 0 that the model gets wrong; and "
            "a value to compare with that you computed yourself.",
            "F.log_softmax at [rows, labels] of the labelled rows, minus its mean, is the value. Compare for two "
            "batches: one ordinary, one with logits of some hundreds.",
        ),
        points=3,
        needs=("5.8",),
        closed={"F.cross_entropy": F.cross_entropy, "F.weighted_cross_entropy": F.weighted_cross_entropy},
    ),
]
