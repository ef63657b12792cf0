"""Chapters 09 to 11: attention, heads, and the encoder layer."""

import numpy as np

import bertnp.functional as F
from bertnp.learn import given
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import compared, formula, holds, properties, sieve, stream, together
from bertnp.learn.registry.scores import plain as shares_of
from bertnp.learn.stubs import heads as stubs
from bertnp.learn.subjects import subject


def functions_of(*names):
    return {name: getattr(F, name) for name in names}


@properties
def judge_causal(causal_mask, rng):
    for length in (4, int(rng.randint(5, 12)), 1):
        right = np.arange(length) <= np.arange(length)[:, None]
        mine = causal_mask(length)
        known = [
            (right.T, "the other triangle",
             "The triangle is the other one: rows are queries, and query s may read keys up to s. So row 0 has a "
             "single true."),
            (right & ~np.eye(length, dtype=bool), "not itself", "A token may not read itself; it may (k = s)."),
            (np.where(right, 0.0, -np.inf), "numbers to add",
             "Those are numbers to be added to scores. Expected are truth values: true where a key may be read."),
        ]  # fmt: skip
        if length == 1:
            known = known[1:]
        yield compared(f"{length} tokens", mine, right, known)
    kind = np.asarray(mine).dtype
    sentence = f"The mask is of type {kind}; expected truth values (bool)."
    yield holds("truth values", kind.kind == "b", sentence, "no truth values")


RELATIVE_BIAS = subject(
    "relative_bias",
    {
        "near and far": lambda rng: {"scores": rng.randn(2, 2, 3, 5), "table": rng.randn(5, 2)},
        "a wide table": lambda rng: {"scores": rng.randn(3, 2, 3, 3), "table": rng.randn(9, 2)},
    },
    takes=("table",),
    wrt=("scores", "table"),
    rows={"scores": 0},
    gradients_on=("near and far", "a wide table"),
    shapes={"scores": "B A S K"},
    known={
        "forward": {
            "s - k": "Left and right have changed places: the distance is k - s, key minus query.",
            "not clipped": "Keys that stand further away than R take the number of another distance: clip k - s first.",
            "R not added": "R is not added: a negative row number counts from the end of the table.",
            "one head's for all": "All heads got the numbers of the first; each has a column of its own.",
        },
        "backward": {
            "assigned": "Many pairs (s, k) have the same distance, and their gradients add up: np.add.at.",
            "mean over the batch": "dtable is a mean over the batch. All sequences read the same table: sum.",
            "first sequence only": "Only the first sequence reaches the table: sum over all of them.",
        },
    },
)
ROTATE = subject(
    "rotate",
    {
        "ordinary": lambda rng: {"x": rng.randn(3, 2, 3, 6), "positions": np.array([0, 1, 7])},
        "other positions": lambda rng: {"x": rng.randn(4, 3, 4), "positions": np.array([11, 2, 0])},
    },
    takes=("positions",),
    wrt=("x",),
    rows={"x": 0},
    shapes={"x": "B A S D"},
    known={
        "forward": {
            "neighbours as pairs": "Neighbours are turned together, as in the paper. Here component i goes with i + "
            "D/2.",
            "turned the other way": "It turns the other way round: look at the two signs.",
            "all at one speed": "All pairs are turned at one speed. Pair i has its own, 10000^(-2i/D).",
            "speeds of i / D": "The exponent lacks its 2: the speeds are 10000^(-2i/D).",
        },
        "backward": {
            "turned on": "dy is turned once more. Going back means turning back.",
            "handed through": "dy is handed through; it has to be turned back.",
        },
    },
)
THREE_MAPS = subject(
    "three_maps_attention",
    lambda rng: {
        "x": rng.randn(2, 3, 4),
        **{name: rng.randn(4, 4) / 2 if name[0] == "W" else rng.randn(4) for name in
           ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V")},
        "heads": 2,
    },  # fmt: skip
    takes=("x", "Q", "K", "V", "P", "W_Q", "W_K", "W_V", "heads"),
    wrt=("x", "W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V"),
    outputs=("Y", "Q", "K", "V", "P"),
    forward=given.three_maps_attention,
    shapes={"x": "B S H"},
    rtol=1e-6,
    known={"backward": {
        "values only": "Only the path by way of the values leads back to x. It was read three times: add dQ W_Q and dK "
        "W_K.",
        "heads cut by reshape": "dY is cut into heads by a reshape alone. Heads are moved in front of the tokens, "
        "which only a transpose can do: F.merge_heads_backward.",
        "W transposed": "dx is made with the weights transposed. Forward x Wᵀ, back dy W.",
    }},
)  # fmt: skip

# the encoder layer, of two sequences, the first of them padded

KEEP = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
MASK = KEEP[:, None, None]


def layer_draw(rng):
    H, I = 4, 5
    matrices = {"W_QKV": (3 * H, H), "W_O": (H, H), "W_1": (I, H), "W_2": (H, I)}
    vectors = {"b_QKV": 3 * H, "b_O": H, "beta1": H, "b_1": I, "b_2": H, "beta2": H}
    W = {name: rng.randn(*shape) / 1.5 for name, shape in matrices.items()}
    W |= {name: rng.randn(size) * 0.3 for name, size in vectors.items()}
    W |= {name: 0.7 + 0.6 * rng.rand(H) for name in ("gamma1", "gamma2")}
    return {"x": rng.randn(*KEEP.shape, H), **W}


def real_tokens(x, **W):
    """The layer's output at the real tokens: nobody reads what it puts out elsewhere."""
    y, kept = given.encoder_layer(x, MASK, W, 2)
    return y[KEEP], kept


def call_layer_backward(backward, dy, arguments, outputs):
    W = {name: value for name, value in arguments.items() if name != "x"}
    padded = np.zeros(arguments["x"].shape)
    padded[KEEP] = dy
    kept = real_tokens(**arguments)[1]
    answer = backward(padded, kept, W, 2)
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict)):
        raise ValueError("expected dx and a dictionary of the weights' gradients: return dx, G")
    missing = sorted(W.keys() - answer[1].keys())
    if missing:
        raise ValueError(f"G has no gradient of {', '.join(missing)}")
    return {"x": answer[0], **{name: answer[1][name] for name in W}}


ENCODER_LAYER = subject(
    "encoder_layer",
    layer_draw,
    wrt=tuple(layer_draw(np.random.RandomState(0))),
    outputs=("y",),
    forward=real_tokens,
    call=call_layer_backward,
    shapes={"x": "B S H"},
    rtol=1e-6,
    known={"backward": {
        "x straight through lost": "In the first half the way straight through is lost: x is a summand of the first "
        "sum, so ds itself is part of dx.",
        "h straight through lost": "In the second half the way straight through is lost: h is a summand of the second "
        "sum, so dt itself is part of dh.",
    }},
)  # fmt: skip


# encoders with and without a leak


def masked(scores, mask, layer):
    return shares_of(np.where(mask[:, None, :] == 1, scores, -1e30))


def only_below(scores, mask, layer):
    return masked(scores, mask, layer) if layer == 0 else shares_of(scores)


def unmasked(scores, mask, layer):
    return shares_of(scores)


def an_encoder(rng, words=None, places=None, attend=masked, after=None):
    """encode(ids, mask) of two layers of attention over words and positions, with parts to exchange:

    words(E, ids, mask) -> their vectors   places(S, mask) -> (B, S) positions   attend(scores, mask, layer) -> shares
    after(y, mask) -> what is put out
    """
    E, P, M = rng.randn(20, 6), rng.randn(16, 6), [rng.randn(6, 6) / 2 for _ in range(3)]

    def encode(ids, mask):
        ids, mask = np.asarray(ids), np.asarray(mask).astype(int)
        S = ids.shape[1]
        x = (words(E, ids, mask) if words else E[ids]) + P[places(S, mask) if places else np.arange(S)]
        for layer in range(2):
            Q, K, V = (x @ m.T for m in M)
            x = np.tanh(x + attend(Q @ K.swapaxes(-1, -2) / 2.0, mask, layer) @ V)
        return after(x, mask) if after else x

    return encode


FILL = "Put other ids where the mask is 0: nothing at the real tokens may change."
MORE = "Make the batch longer by places of padding: nothing at the real tokens may change."
ALONE = "Run one sequence alone, cut to its length: it must come out as in the batch."
DIGITS = "Compare to nine digits: a leak may be small."


def judge_padding(functions, seed):
    (accepts,) = functions.values()
    rng = stream("keeps_padding_out", seed)

    def encoder(**parts):
        return an_encoder(np.random.RandomState(rng.randint(2**31)), **parts)

    def mean_over(tokens):
        return lambda y, mask: y + tokens(y, mask)[:, None]

    right = {
        "padded keys masked": encoder(),
        "zeros at padding": encoder(after=lambda y, mask: y * mask[..., None]),
        "noise at padding": encoder(
            after=lambda y, mask: np.where(mask[..., None] == 1, y, 1e3 * np.random.RandomState(0).randn(*y.shape))),
        "a mean over the real tokens added": encoder(after=mean_over(
            lambda y, mask: (y * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True))),
    }  # fmt: skip
    wrong = {
        "no mask at all": (encoder(attend=unmasked), FILL),
        "scores lowered by 10 only": (
            encoder(attend=lambda scores, mask, _: shares_of(scores - 10.0 * (1 - mask[:, None, :]))), DIGITS),
        "mask after the softmax": (
            encoder(attend=lambda scores, mask, _: shares_of(scores) * mask[:, None, :]), FILL),
        "scores of padding set to 0": (
            encoder(attend=lambda scores, mask, _: shares_of(scores * mask[:, None, :])), FILL),
        "mask on the queries": (
            encoder(attend=lambda scores, mask, _: shares_of(np.where(mask[:, :, None] == 1, scores, -1e30))), FILL),
        "mask in the first layer only": (encoder(attend=only_below), FILL),
        "a mean over all tokens added": (encoder(after=mean_over(lambda y, mask: y.mean(axis=1))), FILL),
        "a sum over real tokens by the padded length": (encoder(after=mean_over(
            lambda y, mask: (y * mask[..., None]).sum(axis=1) / mask.shape[1])), MORE),
        "places counted from the end": (
            encoder(places=lambda S, mask: np.arange(S)[::-1] + np.zeros_like(mask)), MORE),
        "normalised over the batch": (encoder(after=lambda y, mask: y - y[:, :1].mean(axis=0)), ALONE),
        "the last token's vector added": (encoder(after=mean_over(lambda y, mask: y[:, -1])), FILL),
        "padding's vectors 0, but read": (
            encoder(words=lambda E, ids, mask: E[ids] * mask[..., None],
                    attend=unmasked), MORE),
    }  # fmt: skip
    return sieve("keeps_padding_out", lambda encode: accepts(encode, stream("padding", seed)), right, wrong)


EXERCISES = [
    Exercise(
        "9.1",
        "Attention",
        "Write attention with a mask, with dropout, and for any number of axes in front.",
        ("attention",),
        functions_of("attention"),
        formula("attention"),
        (
            "Four steps: scores, mask, shares, mean of the values. Each query divides its attention among the keys.",
            "Transpose the last two axes only, swapaxes(-1, -2), so that any axes may stand in front. The scores are "
            "divided by the root of the head's size D, not of H.",
            "F.masked_softmax of the scores with the mask gives the shares; F.dropout of them times the values gives "
            "y. Return the shares as they were before the dropout.",
        ),
        points=2,
        needs=("3.3", "5.1"),
        closed=functions_of("packed_attention"),
    ),
    Exercise(
        "9.2",
        "Attention, backward",
        "Write the backward of attention.",
        ("attention_backward",),
        functions_of("attention_backward"),
        formula("attention"),
        (
            "Walk back: Y is a product of drop(P) and V; P is a softmax of the scores; the scores are a scaled product "
            "of Q and K.",
            "dV = drop(P)ᵀ dY. dP = dY Vᵀ, back through the dropout, then through the softmax to dS. Scale dS once.",
            "F.masked_softmax_backward takes dP and P. With scaled dS: dQ is dS times K, dK is dS transposed times Q. "
            "All transposes are of the last two axes.",
        ),
        points=4,
        needs=("3.3", "5.2"),
        closed=functions_of("packed_attention_backward"),
    ),
    Exercise(
        "9.5",
        "The causal mask",
        "Make the mask with which nobody sees what is still to come.",
        ("causal_mask",),
        {"causal_mask": stubs.causal_mask},
        judge_causal,
        (
            "Rows are queries, columns are keys. What does row 0 look like, and what the last row?",
            "Compare a column of numbers 0, 1, 2, … with a row of them: broadcasting makes the table.",
            "True where the number of the key is at most that of the query; np.tril of ones, as bool, is the same.",
        ),
    ),
    Exercise(
        "9.6",
        "Softmax with a mask",
        "Write the softmax that leaves keys out; a row without any key gives zeros.",
        ("masked_softmax",),
        functions_of("masked_softmax"),
        formula("masked_softmax"),
        (
            "A masked key must get exactly 0, and the others must add up to 1 without it.",
            "Mask before you look for the largest number, or it may be one that is hidden; and multiply exp by the "
            "mask.",
            "np.where(mask, x, the least float) for the maximum; where the sum is 0, divide by 1 instead. With mask "
            "None it is the plain softmax.",
        ),
        points=2,
        needs=("5.1",),
        closed=functions_of("attention"),
    ),
    Exercise(
        "9.7",
        "How far away a key stands",
        "Add to each score a number of its own for each distance and head, and write the backward.",
        ("relative_bias", "relative_bias_backward"),
        {"relative_bias": stubs.relative_bias, "relative_bias_backward": stubs.relative_bias_backward},
        RELATIVE_BIAS,
        (
            "Make the table (S, K) of the distances first: a row of keys minus a column of queries.",
            "Clipped and moved up by R they are row numbers; table[them] is (S, K, A), and the heads have to come to "
            "the front.",
            "Backward: dscores is dy. For the table sum dy over the batch, bring it to (S, K, A), and add it up at the "
            "same row numbers with np.add.at.",
        ),
        points=3,
        needs=("4.1", "9.1"),
    ),
    Exercise(
        "9.8",
        "Rotary positions",
        "Tell positions by turning queries and keys, and write the backward.",
        ("rotate", "rotate_backward"),
        {"rotate": stubs.rotate, "rotate_backward": stubs.rotate_backward},
        ROTATE,
        (
            "Every pair of numbers is a hand on a dial; position t turns it by t times its speed.",
            "The angles are (S, D/2), an outer product of positions and speeds. The first half of the components are "
            "the one side of each pair, the second half the other.",
            "Cut x in two halves a and b; a cos - b sin and b cos + a sin, put together again along the last axis. A "
            "turn is undone by the turn with minus the angle.",
        ),
        points=3,
        needs=("4.6",),
    ),
    Exercise(
        "10.1",
        "Heads cut apart and put together",
        "Write split and merge with their backwards.",
        ("split_heads", "split_heads_backward", "merge_heads", "merge_heads_backward"),
        functions_of("split_heads", "split_heads_backward", "merge_heads", "merge_heads_backward"),
        together(formula("split_heads"), formula("merge_heads")),
        (
            "Nothing is computed, numbers only move; so each backward is the other function.",
            "Only reshape cuts or joins axes, and only transpose swaps them: splitting takes both, in this order.",
            "From (B, S, H) to (B, S, A, D) by reshape, then the axes in the order 0, 2, 1, 3. Merging is the same "
            "backwards.",
        ),
        points=2,
    ),
    Exercise(
        "10.2",
        "Multi-head attention, backward",
        "Write the backward of multi-head attention with three separate linear maps.",
        ("three_maps_attention_backward",),
        {"three_maps_attention_backward": stubs.three_maps_attention_backward},
        THREE_MAPS,
        (
            "Read the forward from its end: merge, attention, split, three linear maps.",
            "F.merge_heads_backward of dY, F.attention_backward, then F.split_heads_backward of each of the three: now "
            "all are (B, S, H).",
            "F.linear_backward three times, always with the same x; its three dx add up. What attention gives comes in "
            "the order query, key, value.",
        ),
        points=3,
        needs=("9.2", "10.1"),
        closed=functions_of("packed_attention_backward"),
    ),
    Exercise(
        "10.6",
        "What a head is worth",
        "Write the backward of the switch that turns heads down.",
        ("mask_heads_backward",),
        functions_of("mask_heads_backward"),
        formula("mask_heads"),
        (
            "Each y is a product of two numbers; the switch of a head stands in D of them.",
            "dx is dy turned down by the same switches. For dξ the D products dy x of a head add up.",
            "(dy x) reshaped to (T, A, D), and summed over the last axis; F.mask_heads does the other half.",
        ),
    ),
    Exercise(
        "11.1",
        "The encoder layer, backward",
        "Put the backward of a whole layer together from (11.2).",
        ("encoder_layer_backward",),
        {"encoder_layer_backward": stubs.encoder_layer_backward},
        ENCODER_LAYER,
        (
            "Read encoder_layer of bertnp.learn.given from its last line to its first; each line has a backward that "
            "you know.",
            "F.residual_norm_backward returns five things: into the branch, the offset's, straight on, and the two of "
            "the norm. Straight on and what comes back through the branch add up, in both halves.",
            "Second norm, F.gelu_feed_forward_backward, the sum dh; first norm, F.product_backward, attention with its "
            "heads, dQ, dK and dV side by side (np.concatenate on the last axis), F.linear_backward, the sum dx.",
        ),
        points=5,
        needs=("7.2", "8.2", "9.2", "10.1"),
    ),
    Exercise(
        "11.4",
        "Attention without padding",
        "Write packed attention as a loop over sequences, without any padding.",
        ("packed_attention",),
        functions_of("packed_attention"),
        formula("packed_attention"),
        (
            "Rows stand sequence after sequence. Where does sequence b begin, in the queries and in the keys?",
            "For each sequence: its rows, with an axis in front as a batch of one; F.split_heads; F.attention; "
            "F.merge_heads.",
            "mask[b] may have one row or Q of them: cut it to the sequence's own queries and keys; so too keep[b]. At "
            "the end np.concatenate.",
        ),
        points=3,
        needs=("9.1", "10.1"),
    ),
    Exercise(
        "11.6",
        "Does padding leak?",
        "Write the test that finds out whether an encoder reads its padding, or anything but the sequence itself.",
        ("keeps_padding_out",),
        {"keeps_padding_out": stubs.keeps_padding_out},
        judge_padding,
        (
            "Whatever you change that is no real token of a sequence, its outputs must stay.",
            "Three changes: other ids at the places of padding; more places of padding; the sequence alone, without a "
            "batch.",
            "Draw ids and a mask with sequences of different lengths; run encode before and after each change, and "
            "compare only where the mask is 1, with np.allclose and rtol=1e-9.",
        ),
        points=4,
        needs=("9.6",),
    ),
]
