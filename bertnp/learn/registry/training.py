"""Chapters 12 to 16: masked words, losses, optimisers, checkpoints, tasks."""

import functools

import numpy as np

import bertnp.functional as F
from bertnp import BertConfig, BertForPreTraining
from bertnp.data.masking import mask_tokens
from bertnp.gradcheck import blocks
from bertnp.learn import given
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import Finding, compared, equal, formula, holds, properties
from bertnp.learn.stubs import training as stubs
from bertnp.learn.subjects import subject
from bertnp.optim import schedules

MASK_ID, WORDS = 4, 50


@properties
def judge_masking(mask, rng):
    """Shares over some 45,000 free tokens, each within five standard deviations of what it should be."""
    ids = rng.randint(5, WORDS, (300, 200))
    special = (np.arange(200) == 0) | (np.arange(200) >= rng.randint(100, 200, (300, 1)))
    free, seed = ~special, int(rng.randint(10**6))

    def run(**options):
        made, labels = mask(ids.copy(), special.copy(), np.random.default_rng(seed), MASK_ID, WORDS, **options)
        return np.asarray(made), np.asarray(labels)

    made, labels = run()
    if made.shape != ids.shape or labels.shape != ids.shape:
        yield Finding(
            "ids and labels", f"Expected two arrays {ids.shape}, got {made.shape} and {labels.shape}.", "shapes"
        )
        return
    chosen = labels != -100
    untouched = not (chosen & special).any() and not (made != ids)[special].any()
    yield holds("special tokens are never chosen", untouched, "Special tokens or padding are chosen.", "special tokens")
    yield from shares(ids, made, labels, chosen, free)
    words = np.bincount(made[chosen & (made != MASK_ID) & (made != ids)], minlength=WORDS)
    drawn = words.sum() > 0 and (words.sum() < 400 or (words[:MASK_ID].any() and words[5:].all()))
    sentence = "The words put in at random are not drawn from all vocab_size ids, or there are none."
    yield holds("random words are of the whole vocabulary", drawn, sentence, "random words")
    per_row = (chosen & free).sum(axis=1) / free.sum(axis=1)
    sentence = "Every sequence has the same share of chosen tokens. Each token is chosen by a draw of its own."
    yield holds("each token is chosen for itself", per_row.std() > 0.01, sentence, "fixed share")
    same = all(map(np.array_equal, run(), (made, labels)))
    sentence = "Two calls with the same generator differ: draw from the rng that is handed in, from nothing else."
    yield holds("the same generator, the same masks", same, sentence, "other random numbers")
    made, labels = run(mlm_probability=1.0, mask_replace_prob=1.0, random_replace_prob=0.0)
    used = (made[free] == MASK_ID).all() and np.array_equal(labels[free], ids[free])
    sentence = "With mlm_probability and mask_replace_prob 1 every free token becomes [MASK]: use those handed in."
    yield holds("other probabilities", used, sentence, "fixed probabilities")


OFTEN = {
    0.9: "80% of the chosen, not 90%, become [MASK].",
    1.0: "All chosen tokens become [MASK]. Some must stay, and some become another word.",
    0.18: "Random words come to 2%: once 80% are hidden, half of those that are left get a random word.",
}  # shares that come of a slip


def shares(ids, made, labels, chosen, free):
    """How many are chosen, and what becomes of those."""
    n = chosen.sum()
    within = 5 * (0.15 * 0.85 / free.sum()) ** 0.5
    sentence = f"{n / free.sum():.1%} of the tokens have a label, expected 15%; the others get -100."
    yield holds("15% are chosen", abs(n / free.sum() - 0.15) < within, sentence, "share of chosen")
    sentence = "Labels hold what stands there now, with the masks in it. They tell the word that stood there before."
    yield holds("labels tell the word that stood there", not (labels != ids)[chosen].any(), sentence, "late labels")
    still = not ((made != ids) & ~chosen & free).any()
    yield holds("what is not chosen stays", still, "Tokens that were not chosen are changed.", "others change")
    for what, is_so, right in (("80% become [MASK]", made == MASK_ID, 0.8), ("10% stay", made == ids, 0.1)):
        right += 0.1 / WORDS  # random words that happen to be those
        found = is_so[chosen].mean() if n else 0.0
        near = next((hint for value, hint in OFTEN.items() if abs(found - value) < 0.012), "")
        sentence = f"Of the chosen it should be: {what}; yours are {found:.1%}. {near}".strip()
        yield holds(what, abs(found - right) < 5 * (right * (1 - right) / max(n, 1)) ** 0.5, sentence, what)


def word_logits(rng, B=3, S=5, V=4, size=2.0):
    labels = np.full((B, S), -100)
    labels[0, 1], labels[0, 3], labels[1, 0], labels[0, 4] = 3, 0, 1, 2
    return {"logits": rng.randn(B, S, V) * size, "labels": labels}


MASKED_WORDS = subject(
    "masked_words_loss",
    {
        "few labelled": word_logits,
        "none labelled": lambda rng: {"logits": rng.randn(2, 3, 5), "labels": np.full((2, 3), -100)},
        "large logits": lambda rng: word_logits(rng, size=400.0),
    },
    takes=("logits", "labels"),
    wrt=("logits",),
    outputs=("loss",),
    gradients_on=("few labelled", "none labelled"),
    forward=lambda logits, labels: F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))[0],
    shapes={"logits": "B S V"},
    known={
        "forward": {
            "mean over all tokens": "The sum is divided by the number of all tokens. Only the labelled ones are in it.",
            "mean of the rows' means": "It averages over the sequences, each averaged for itself: a word in a sequence "
            "with few labels then counts more. One mean over all labelled tokens.",
            "sum": "That is a sum; the loss is a mean over the labelled tokens.",
            "unlabelled as word 0": "Tokens without a label are counted, as if they were word 0.",
            "word 0 left out": "Labels of word 0 are left out. Only -100 marks a token that is not asked.",
        },
        "backward": {
            "mean over all tokens": "It is divided by the number of all tokens instead of the labelled ones.",
            "sum": "The division by the number of labelled tokens is missing.",
            "unlabelled rows leak": "Tokens without a label get a gradient; the loss does not depend on them.",
            "1 not subtracted": "At the label itself 1 is to be taken from the share: p - 1hot.",
            "word 0 left out": "Labels of word 0 are left out. Only -100 marks a token that is not asked.",
        },
    },
)


def tied_when_square(table_of, rng):
    """With P the identity it is the tied table of chapter 12."""
    ids, table = np.array([3, 0, 3, 5]), rng.randn(7, 4)
    yield compared("with P = 1 it is the tied table", table_of(ids, table, np.eye(4)), blocks.tied_table(ids, table))


FACTORISED = subject(
    "factorised_table",
    lambda rng: {"ids": np.array([3, 0, 3, 6, 3]), "table": rng.randn(8, 3), "projection": rng.randn(4, 3)},
    takes=("ids", "table", "projection"),
    wrt=("table", "projection"),
    also=tied_when_square,
    rows={"ids": 0},
    shapes={"table": "V M", "projection": "H M"},
    known={
        "forward": {"projection left out": "P is not used: both ends of the product are rows P E_v, made wide."},
        "backward": {
            "only the scores' half": "Only the end that scores is there. The rows that were looked up bring gradients "
            "too.",
            "P once": "P is used at both ends; its gradient has only one of them.",
            "lookup assigned": "A word that was read several times brings several gradients to its row: np.add.at.",
        },
    },
)
LION = subject(
    "lion",
    {
        "ordinary": lambda rng: {
            "parameter": rng.randn(9), "gradient": 9.0 * rng.randn(9) * np.array([1, 1, 1, 1, 0, 1, 1, 1, 1]),
            "mean": rng.randn(9) * np.array([1, 1, 1, 1, 0, 1, 1, 1, 1]), "lr": 0.01, "betas": (0.9, 0.99),
            "weight_decay": 0.1},
        "a matrix": lambda rng: {
            "parameter": rng.randn(5, 3), "gradient": rng.randn(5, 3), "mean": rng.randn(5, 3), "lr": 0.2,
            "betas": (0.6, 0.8), "weight_decay": 0.3},
    },  # fmt: skip
    outputs=("parameter", "mean"),
    rows={"parameter": 0, "gradient": 0, "mean": 0},
    known={"forward": {
        "one average": "The average that is kept uses β₁. Lion keeps one with β₂, and steps by another with β₁.",
        "betas swapped": "The two betas have changed places.",
        "sign of the gradient": "The step is the sign of the gradient alone; it is that of the average with β₁.",
        "no sign": "The sign is missing: every element goes the same distance.",
        "decay without lr": "The decay lacks the learning rate.",
        "decay through the sign": "The decay goes into the gradient, where the sign swallows its size. It stands "
        "beside the sign.",
    }},
)  # fmt: skip


@properties
def judge_schedule(linear, rng):
    for total, warmup in ((10, 4), (7, 0), tuple(int(n) for n in (rng.randint(20, 30), rng.randint(2, 9)))):
        steps = list(range(total + 3))
        right = np.array([schedules.linear(step, total, warmup) for step in steps])
        s = np.array(steps, float)
        falling = (total - s) / max(1, total - warmup)
        rising = s / max(1, warmup)
        known = [
            (np.where(s < warmup, rising, falling), "below 0", "After the last step it goes below 0. It stays at 0."),
            (np.maximum(0, falling), "no warm-up", "The warm-up is missing: it rises from 0 to 1 over `warmup` steps."),
            (np.where(s < warmup, rising, np.maximum(0, 1 - s / total)), "Google's",
             "Where the warm-up ends it jumps: the way down is counted from there, over total - warmup steps."),
            (np.where(s < warmup, (s + 1) / max(1, warmup), np.maximum(0, (total - s - 1) / max(1, total - warmup))),
             "one step ahead",
              "It is one step ahead: step 0 is the first, and has the factor 0 where there is a warm-up."),
            (np.where(s < warmup, rising, 1.0), "never falls",
             "After the warm-up it stays at 1. It falls to 0 at `total`."),
        ]  # fmt: skip
        mine = np.array([linear(step, total, warmup) for step in steps], float)
        yield compared(f"{total} steps, {warmup} of them warm-up", mine, right, known)
    yield compared("without a word about warm-up", linear(0, 10), 1.0)


@functools.cache
def named_parameters():
    """{name: does weight decay act on it} of a small model for pre-training."""
    config = BertConfig(
        vocab_size=9, hidden_size=4, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=5,
    )  # fmt: skip
    return {name: bool(parameter.decay) for name, parameter in BertForPreTraining(config, seed=0).named_parameters()}


@properties
def judge_decayed(is_decayed, rng):
    names = named_parameters()
    groups = {
        "tables": [name for name in names if "embeddings.weight" in name],
        "matrices": [
            name for name in names if name.endswith("weight") and "Norm" not in name and "embeddings." not in name
        ],
        "biases": [name for name in names if name.endswith("bias") and "Norm" not in name],
        "layer norms": [name for name in names if "Norm" in name],
    }
    why = {"layer norms": "the scale of a layer norm is called weight, too, but it is no matrix, and not to shrink"}
    for what, group in groups.items():
        group = [str(name) for name in rng.permutation(group)]
        wrong = [name for name in group if not equal(is_decayed(name), names[name])]
        sentence = f"{' '.join(wrong[:1])}: {why.get(what, f'of the {what} it says the opposite of what is right')}."
        yield holds(what, not wrong, sentence, what)


@properties
def judge_accumulated(accumulated, rng):
    for what, counts in (("parts of different sizes", [3, 1, 8]), ("a part without any label", [2, 0, 5, 1])):
        gradients = [rng.randn(3, 4) * (n > 0) for n in counts]
        right = sum(n * g for n, g in zip(counts, gradients, strict=True)) / sum(counts)
        known = [
            (sum(gradients) / len(counts), "mean of the means",
             "It takes the plain mean over the parts. A word in a part with few labels then counts more than one in "
             "a part with many: weigh each part by its count."),
            (sum(gradients), "sum", "The gradients are added up without a mean."),
            (right * sum(counts), "not divided", "Weighed by the counts, but not divided by their sum."),
            (right * sum(counts) / len(counts), "divided by the parts",
             "Divided by the number of parts instead of the number of labelled words."),
        ]  # fmt: skip
        yield compared(what, accumulated(gradients, list(counts)), right, known)


def google_tensors(rng):
    """{group: {their name: (array, our name, array of ours)}}"""
    L, H = int(rng.randint(2, 12)), 3
    layer = f"bert/encoder/layer_{L}"
    matrices = {f"{layer}/attention/self/{part}/kernel": f"attention.self.{part}" for part in ("query", "key", "value")}
    matrices[f"{layer}/intermediate/dense/kernel"] = "intermediate.dense"
    groups = {"matrices": {}, "tables": {}, "biases": {}, "layer norms": {}, "the heads of pre-training": {}}
    for theirs, ours in matrices.items():
        kernel = rng.randn(H, 4 * H if "intermediate" in theirs else H)
        groups["matrices"][theirs] = (kernel, f"bert.encoder.layer.{L}.{ours}.weight", kernel.T)
    kernel = rng.randn(H, H)
    groups["matrices"]["bert/pooler/dense/kernel"] = (kernel, "bert.pooler.dense.weight", kernel.T)
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        values = rng.randn(5, H)
        groups["tables"][f"bert/embeddings/{table}"] = (values, f"bert.embeddings.{table}.weight", values)
    values = rng.randn(4 * H)
    groups["biases"][f"{layer}/intermediate/dense/bias"] = (
        values, f"bert.encoder.layer.{L}.intermediate.dense.bias", values)  # fmt: skip
    for theirs, ours in ((f"{layer}/output", f"bert.encoder.layer.{L}.output"), ("bert/embeddings", "bert.embeddings")):
        for last, name in (("gamma", "weight"), ("beta", "bias")):
            values = rng.randn(H)
            groups["layer norms"][f"{theirs}/LayerNorm/{last}"] = (values, f"{ours}.LayerNorm.{name}", values)
    for theirs, ours, shape in (
        ("cls/predictions/output_bias", "cls.predictions.bias", 5),
        ("cls/seq_relationship/output_weights", "cls.seq_relationship.weight", (2, H)),
        ("cls/seq_relationship/output_bias", "cls.seq_relationship.bias", 2),
    ):
        values = rng.standard_normal(shape)
        groups["the heads of pre-training"][theirs] = (values, ours, values)
    return groups


@properties
def judge_google(from_google, rng):
    for which in ("", ", of another checkpoint"):
        groups = google_tensors(rng)
        theirs = {name: entry[0] for group in groups.values() for name, entry in group.items()}
        mine = from_google(theirs)
        for what, group in groups.items():
            yield Finding(what + which, *google_sentence(mine, group))
        sentence = f"It returns {len(mine)} tensors for {len(theirs)}."
        yield holds(f"as many as there were{which}", len(mine) == len(theirs), sentence, "number")


def google_sentence(mine, group):
    for theirs, (values, ours, right) in group.items():
        if ours not in mine:
            return f"{theirs} should become {ours}, which is not among your names.", "names"
        if np.shape(mine[ours]) == right.shape and np.array_equal(mine[ours], right):
            continue
        if np.shape(mine[ours]) == values.shape and np.array_equal(mine[ours], values):
            return f"{ours} is not transposed: a kernel is (in, out), a weight (out, in). Square ones, too.", "kernels"
        return f"{ours} has other numbers than {theirs}, or another shape: {np.shape(mine[ours])}.", "values"
    return "", ""


CLASSIFIER = subject(
    "classifier",
    lambda rng: {
        "h": rng.randn(3, 5, 4), "W_P": rng.randn(4, 4) / 2, "b_P": rng.randn(4), "W_C": rng.randn(2, 4),
        "b_C": rng.randn(2),
    },
    takes=("h", "pooled", "W_P", "W_C"),
    wrt=("h", "W_P", "b_P", "W_C", "b_C"),
    outputs=("logits", "pooled"),
    forward=given.classifier,
    shapes={"h": "B S H"},
    known={"backward": {
        "to all tokens": "All tokens get the gradient. Only the first was read: the others get 0.",
        "tanh left out": "The gradient walks past the tanh: between the two maps multiply by 1 - pooled².",
        "1 - pooled": "The slope of tanh is 1 - pooled²: the square is missing.",
        "dW_C from [CLS]": "dW_C uses the vector of [CLS]. The second map read what came out of the pooler.",
    }},
)  # fmt: skip


def span_right(logits, starts, ends):
    S, losses = logits.shape[1], []
    for i, positions in enumerate((starts, ends)):
        losses.append(F.cross_entropy(logits[..., i], np.where(positions < S, positions, -100))[0])
    return (losses[0] + losses[1]) / 2


SPAN = subject(
    "span_loss",
    lambda rng: {
        "logits": rng.randn(5, 6, 2) * 2,
        "starts": np.array([0, 6, 3, 2, 5]),
        "ends": np.array([4, 6, 3, 9, 5]),
    },
    takes=("logits", "starts", "ends"),
    wrt=("logits",),
    outputs=("loss",),
    forward=span_right,
    shapes={"logits": "B S 2"},
    known={
        "forward": {
            "sum of both": "The two losses are added; it is their mean.",
            "beyond the end counted": "Answers that are not in the text are pulled to its last token. They count "
            "nothing.",
            "start and end swapped": "Start and end have changed places: logits[..., 0] are the scores for the start.",
            "over start and end": "The softmax runs over start and end. It runs over the positions, once for each.",
        },
        "backward": {
            "half lost": "The half of the mean is missing.",
            "mean over the batch": "It is divided by the batch size. Only those whose answer is in the text are in the "
            "mean.",
            "beyond the end leaks": "Texts without the answer get a gradient; the loss does not depend on them.",
        },
    },
)

EXERCISES = [
    Exercise(
        "12.1",
        "80/10/10",
        "Choose the words to be predicted, and hide them. (Draw in whatever order you like, and leave continues aside: "
        "it stays None.)",
        ("mask_tokens",),
        {"mask_tokens": mask_tokens},
        judge_masking,
        (
            "First who is chosen, then what becomes of them; labels come before anything is hidden.",
            "Draw a number for each token and compare with mlm_probability. Then another: below 0.8 it is [MASK], from "
            "0.8 to 0.9 a random word, else it stays.",
            "rng.random(shape) < … makes truth values; np.where puts things in their places; random words are "
            "rng.integers(0, vocab_size, shape). Copy input_ids, and never choose where special_tokens_mask is true.",
        ),
        points=3,
    ),
    Exercise(
        "12.2",
        "The loss of the masked words",
        "Write the loss and its backward for logits (B, S, V) and labels with -100.",
        ("masked_words_loss", "masked_words_loss_backward"),
        {
            "masked_words_loss": stubs.masked_words_loss,
            "masked_words_loss_backward": stubs.masked_words_loss_backward,
        },
        MASKED_WORDS,
        (
            "Which tokens are asked, and how many? One mean over all of them, whatever sequence they stand in.",
            "np.nonzero of what is asked gives two lists of places. F.log_softmax of the logits there, at the label, "
            "is what you need.",
            "Backward: zeros; at the places that are asked F.softmax of the logits, minus 1 at the label, all times "
            "dloss by the number of them (or by 1 where there are none).",
        ),
        points=3,
        needs=("5.4",),
        closed={
            "F.cross_entropy": F.cross_entropy,
            "F.cross_entropy_backward": F.cross_entropy_backward,
            "F.weighted_cross_entropy": F.weighted_cross_entropy,
        },
    ),
    Exercise(
        "12.3",
        "One table, used twice",
        "Write the backward of the tied table.",
        ("tied_table_backward",),
        {"tied_table_backward": blocks.tied_table_backward},
        formula("tied_table"),
        (
            "The table is there as answers and as words that were read. Two roles, two gradients.",
            "As answers: a linear map, whose weight gets dyᵀ times what was read. As words read: dy E, to the rows of "
            "the words.",
            "The first as a product; to its rows `ids` the second is added with np.add.at, for words may repeat.",
        ),
        points=2,
        needs=("3.5", "4.1"),
    ),
    Exercise(
        "12.6",
        "The pooler, backward",
        "Write the backward of the small network behind [CLS], (12.6).",
        ("pooler_backward",),
        {"pooler_backward": blocks.pooler_backward},
        formula("pooler"),
        (
            "Only one token of each sequence was read; what is the gradient of all others?",
            "From the output the slope of tanh is 1 - y². Then a linear map of h[:, 0].",
            "F.linear_backward of dy times that slope, with h[:, 0]; its dx goes into row 0 of zeros like h.",
        ),
        needs=("3.5",),
    ),
    Exercise(
        "12.7",
        "A narrow table, made wide",
        "Write the factorised table of ALBERT, tied at both ends, and its backward.",
        ("factorised_table", "factorised_table_backward"),
        {"factorised_table": stubs.factorised_table, "factorised_table_backward": stubs.factorised_table_backward},
        FACTORISED,
        (
            "Make the wide table first, E Pᵀ of shape (V, H). With it you are back in 12.3.",
            "Backward: first the gradient of the wide table, as in 12.3. Then the wide table was itself a product of "
            "two.",
            "With dwide (V, H): dtable is dwide P, dprojection is dwide transposed times E. P is in dwide twice, and "
            "so both ends count by themselves.",
        ),
        points=3,
        needs=("12.3",),
        closed={"tied_table": blocks.tied_table, "tied_table_backward": blocks.tied_table_backward},
    ),
    Exercise(
        "13.1",
        "AdamW",
        "Write a step of AdamW, (13.1) to (13.3).",
        ("adamw",),
        {"adamw": F.adamw},
        formula("adamw"),
        (
            "Three lines: the mean of the gradients, the mean of their squares, the step. The decay is no part of the "
            "gradient.",
            "Scale the gradient first. Both means begin at 0, so they are divided by 1 - beta^step, unless "
            "bias_correction is off.",
            "eps is added to the root of the corrected variance. The parameter loses lr times (step + weight_decay "
            "times itself). Return all three; where out is given, write them there too.",
        ),
        points=3,
    ),
    Exercise(
        "13.6",
        "Clipping",
        "Write the factor that makes all gradients together no longer than max_norm.",
        ("clip_scale",),
        {"clip_scale": F.clip_scale},
        formula("clip_scale"),
        (
            "Clipping shortens, it never lengthens: the factor is at most 1.",
            "The length is the root of the sum of all squares. eps is added to it before you divide.",
            "Return the smaller one of 1 and the quotient, and the length itself, without eps.",
        ),
    ),
    Exercise(
        "13.7",
        "Warm-up and way down",
        "Write the schedule that rises to 1 and falls to 0, (13.5).",
        ("linear_schedule",),
        {"linear_schedule": schedules.linear},
        judge_schedule,
        (
            "Two straight lines, which meet at 1 where the warm-up ends.",
            "Before `warmup` it is a share of the warm-up; after it, what is left of the way as a share of total - "
            "warmup.",
            "Mind two divisions by 0 (no warm-up; nothing but warm-up), and steps beyond the last: max(0, …).",
        ),
        closed={"schedules.google": schedules.google, "schedules.polynomial": schedules.polynomial},
    ),
    Exercise(
        "13.8",
        "Lion",
        "Write a step of Lion, which goes the same distance in every element.",
        ("lion",),
        {"lion": stubs.lion},
        LION,
        (
            "Two averages of mean and gradient: by one it steps, the other one it keeps.",
            "The direction is the sign of the average with β₁; the average that is kept has β₂. np.sign(0) is 0.",
            "The decay stands beside the sign, inside what lr multiplies. Return the new parameter and the new mean; "
            "leave the arrays you were given as they are.",
        ),
        needs=("13.1",),
    ),
    Exercise(
        "13.9",
        "Who is to shrink?",
        "Tell from its name whether weight decay acts on a parameter.",
        ("is_decayed",),
        {"is_decayed": stubs.is_decayed},
        judge_decayed,
        (
            "Which parameters have a size of their own that means something, and which only ever multiply others?",
            "Print the names of a model: model.named_parameters(). Not everything that ends in weight is a matrix.",
            "Two cases are left out: names that end in bias, and those that have LayerNorm in them.",
        ),
    ),
    Exercise(
        "14.6",
        "One large batch in parts",
        "Put the gradient of a large batch together from those of its parts, when each has its own number of labels.",
        ("accumulated",),
        {"accumulated": stubs.accumulated},
        judge_accumulated,
        (
            "Write both losses as sums over words: what stands in front of each word's term in the parts, what in the "
            "whole?",
            "A part's gradient times its count is a sum over its words. Sums can be added.",
            "Weigh each gradient by its count, add them up, and divide once by all labelled words together.",
        ),
    ),
    Exercise(
        "15.6",
        "Google's names",
        "Bring the tensors of Google's checkpoint to the names and shapes of this library.",
        ("from_google",),
        {"from_google": stubs.from_google},
        judge_google,
        (
            "Go through the name part by part; only the last part decides what becomes of the array.",
            'Slashes become dots, layer_3 becomes layer.3. The last part: kernel, gamma, output_weights are "weight", '
            'beta and output_bias are "bias", a table has ".weight" put behind its name.',
            'name.split("/") gives the parts. Of all tensors only kernels are transposed: tables already have a row '
            "for each word.",
        ),
        points=2,
    ),
    Exercise(
        "16.6",
        "The classifier, backward",
        "Write the backward of what fine-tuning puts on BERT: pooler and linear map.",
        ("classifier_backward",),
        {"classifier_backward": stubs.classifier_backward},
        CLASSIFIER,
        (
            "Two linear maps with a tanh between them; and the first reads only one token of each sequence.",
            "F.linear_backward of dlogits with pooled; times 1 - pooled²; F.linear_backward with h[:, 0].",
            "The order of the answer is dh, dW_P, db_P, dW_C, db_C. dh is zeros like h, but for row 0 of each "
            "sequence.",
        ),
        points=2,
        needs=("12.6",),
        closed={"pooler_backward": blocks.pooler_backward},
    ),
    Exercise(
        "16.7",
        "The loss of a span",
        "Write the loss of question answering, start and end, and its backward.",
        ("span_loss", "span_loss_backward"),
        {"span_loss": stubs.span_loss, "span_loss_backward": stubs.span_loss_backward},
        SPAN,
        (
            "Two classifications, whose classes are the positions of the text. F.cross_entropy may be called.",
            "A position of S or more is to count nothing: F.cross_entropy leaves out what has the label -100.",
            "labels = np.where(positions < S, positions, -100); loss and gradient of logits[..., 0] and of logits[..., "
            "1], each with half of dloss. F.cross_entropy_backward wants the log-softmax.",
        ),
        points=2,
        needs=("5.4",),
        closed={"the judge's loss": span_right},
    ),
]
