"""Chapters 02 to 04: slopes and checks of them, linear maps, tables."""

import numpy as np

import bertnp.functional as F
from bertnp import gradcheck
from bertnp.gradcheck import differences
from bertnp.gradcheck.blocks import add_positions_backward
from bertnp.gradcheck.cases import backward_of, call_by_name_or_place, parameters_of
from bertnp.gradcheck.checking import Check
from bertnp.gradcheck.mistakes import BACKWARD
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn import given
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import Finding, as_tuple, compared, formula, holds, of_findings, properties, sieve, stream
from bertnp.learn.stubs import slopes as stubs
from bertnp.learn.subjects import subject


def some_functions(rng):
    """(label, function of an array to a number, its slope as a function, an x); at home in complex numbers, too."""
    w, M = rng.randn(3, 4), rng.randn(4, 4)
    yield "a weighted sum of sines", lambda x: (w * np.sin(x)).sum(), lambda x: w * np.cos(x), rng.randn(3, 4)
    yield "a square form", lambda x: x @ M @ x, lambda x: (M + M.T) @ x, rng.randn(4)
    yield "one number", lambda x: np.exp(x[0]) * 3, lambda x: 3 * np.exp(x), rng.randn(1)


def each_element(x, step):
    """step(e) for the unit array e of each element."""
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[index] = 1.0
        slopes[index] = step(unit)
    return slopes


CHECKERS = {
    "gradcheck.check": gradcheck.check,
    "gradcheck.check_formula": gradcheck.check_formula,
    "gradcheck.taylor": gradcheck.taylor,
    "the checker": Check.run,
    "the checker's slope": differences.slope,
    "the judge's slopes": each_element,
}  # they do what is asked for in some exercises


@properties
def judge_central(central, rng):
    h = 0.1  # so large that one formula cannot be taken for another
    for label, f, slope, x in some_functions(rng):
        mine = central(f, x, h)
        everywhere = (f(x + h) - f(x - h)) / (2 * h)
        yield compared(
            f"{label}, h = 0.1", mine, each_element(x, lambda e, f=f, x=x: (f(x + h * e) - f(x - h * e)) / (2 * h)),
            [
                (each_element(x, lambda e, f=f, x=x: (f(x + h * e) - f(x)) / h), "one-sided",
                 "That is the one-sided difference, wrong by h/2 times the second derivative. Look to both sides: "
                 "f(x + h) - f(x - h), divided by 2h."),
                (each_element(x, lambda e, f=f, x=x: (f(x) - f(x - h * e)) / h), "one-sided",
                 "That is the one-sided difference, backwards. Look to both sides, and divide by 2h."),
                (each_element(x, lambda e, f=f, x=x: (f(x + h * e) - f(x - h * e)) / h), "divided by h",
                 "Every slope is twice too large: between the two points lies 2h, not h."),
                (each_element(x, lambda e, f=f, x=x: (f(x + h * e) - f(x)) / (2 * h)), "x not put back",
                 "The second value is taken at x, not at x - h: if h was added to x itself, take it away twice."),
                (np.full(x.shape, everywhere), "all elements at once",
                 "All elements are moved together. Move one at a time; the others stay where they are."),
                (np.asarray(everywhere), "all elements at once",
                 "All elements are moved together, which gives one number. Move one at a time."),
            ],
        )  # fmt: skip
        mine, right = np.asarray(central(f, x)), slope(x)
        good = mine.shape == right.shape and np.abs(mine - right).max() < 1e-8 * np.abs(right).max()
        sentence = "With the step that is not named, slopes are not exact to eight digits. Use the h that is given."
        yield holds(f"{label}, the usual h", good, sentence, "digits")


@properties
def judge_complex(step, rng):
    for label, f, slope, x in some_functions(rng):
        right = slope(x)
        real = np.full(x.shape, float(f(x)))
        yield compared(label, step(f, x), right, [
            (right * 1e-30, "not divided by h", "The imaginary part is there, but not divided by h."),
            (real * 1e30, "real part",
             "That is the real part, which is f(x) itself. The slope is in the imaginary one."),
            (np.full(x.shape, right.sum()), "all elements at once", "All elements are moved together. One at a time."),
            (np.zeros(x.shape), "lost",
             "All slopes are 0: x + ih was put into an array of floats, which cannot hold it."),
        ])  # fmt: skip


WEIGHT, BIAS = np.array([1.3, -0.8, 2.1, 0.6]), np.array([0.2, 0.5, -1.0, 0.3])


def of_x(name):
    """A formula as a function of x alone."""
    return (lambda x: F.layer_norm(x, WEIGHT, BIAS)[0]) if name == "layer_norm" else getattr(F, name)


def known_of(name, x):
    """What the backward of that function may ask for, by name."""
    if name != "layer_norm":
        return {"x": x, "y": of_x(name)(x)}
    _, x_hat, inv_std = F.layer_norm(x, WEIGHT, BIAS)
    return {"x": x, "x_hat": x_hat, "inv_std": inv_std, "weight": WEIGHT}


def planted(name):
    """{label: wrong backward of (dy, x)} from the checker's own collection, those whose numbers are wrong for x."""

    def backward_with(body):
        def backward(dy, x):
            dx = call_by_name_or_place(body, dy, known_of(name, x), known_of(name, x))
            return dx["x"] if isinstance(dx, dict) else as_tuple(dx)[0]

        return backward

    x = np.linspace(-1.5, 2.0, 12).reshape(3, 4) ** 3 / 3 + 0.1
    dy = np.cos(np.arange(12.0)).reshape(3, 4)
    own = {p.name: known_of(name, x)[p.name] for p in parameters_of(backward_of(name))[1:]}
    right = as_tuple(backward_of(name)(dy, **own))[0]
    found = {}
    for mistake in BACKWARD[name]:
        backward = backward_with(mistake.plant())
        if not mistake.betrayed_by and not same_numbers(np.asarray(backward(dy, x)), right):
            found[f"{name}, {mistake.label}"] = backward
    return found


RANDOM = "Draw dy at random: with ones, or none at all, such mistakes cannot be seen."
EVERY = "Compare every element of backward(dy, x) with the slope of the sum of dy f(x)."
STRICT = "A difference of two values has nine digits; demand six of the largest slope, not two."
SHAPES = "Compare the shapes first: NumPy would spread one over the other without a word."


def judge_is_gradient(functions, seed):
    (accepts,) = functions.values()
    rng = stream("is_gradient", seed)
    x = rng.randn(3, 4) + 0.2
    M = rng.randn(4, 5)

    def back(dy, x):
        return F.softmax_backward(dy, F.softmax(x))

    right = {
        "tanh": (np.tanh, lambda dy, x: dy * (1 - np.tanh(x) ** 2), x),
        "softmax": (F.softmax, back, x),
        "a linear map": (lambda x: x @ M, lambda dy, x: dy @ M.T, x),
        "a square, of one axis": (lambda x: x * x, lambda dy, x: 2 * dy * x, rng.randn(5)),
        "outputs of a millionth": (lambda x: 1e-6 * np.sin(x), lambda dy, x: 1e-6 * dy * np.cos(x), x),
        "outputs of a million (a fixed tolerance is too strict there)": (
            lambda x: 1e6 * np.sin(x), lambda dy, x: 1e6 * dy * np.cos(x), x),
        "slopes of very different sizes (measure the error by the largest)": (
            lambda x: np.exp(3 * x), lambda dy, x: 3 * dy * np.exp(3 * x), rng.uniform(-2, 2, (2, 3))),
    }  # fmt: skip
    wrong = {
        "zeros for a softmax": (F.softmax, lambda dy, x: 0 * x, x, RANDOM),
        "right only where dy is 1": (F.gelu, lambda dy, x: F.gelu_backward(np.ones_like(x), x), x, RANDOM),
        "one element wrong": (
            np.sin, lambda dy, x: dy * np.cos(x) * np.where(np.arange(12).reshape(3, 4) == 7, 1.3, 1.0), x, EVERY),
        "two elements changed places": (
            lambda x: x * x, lambda dy, x: (2 * dy * x).reshape(-1)[[1, 0, *range(2, 12)]].reshape(3, 4), x, EVERY),
        "a thousandth too long": (np.tanh, lambda dy, x: 1.001 * dy * (1 - np.tanh(x) ** 2), x, STRICT),
        "small, and all wrong": (lambda x: 1e-6 * np.sin(x), lambda dy, x: 1e-6 * dy * np.sin(x), x,
                                 "Measure the error by the largest slope, not by a fixed number: gradients may be "
                                 "small."),
        "sums in place of a row": (lambda x: x * x, lambda dy, x: (2 * dy * x).sum(axis=0), x, SHAPES),
        "a number for an array": (np.sin, lambda dy, x: float((dy * np.cos(x)).mean()), x, SHAPES),
    }  # fmt: skip
    things = {label: (thing[:3], thing[3]) for label, thing in wrong.items()}
    for name in ("tanh", "sigmoid", "silu", "gelu", "gelu_new", "softmax", "log_softmax", "layer_norm"):
        things |= {label: ((of_x(name), backward, x), EVERY) for label, backward in planted(name).items()}
    chosen = list(wrong) + list(rng.permutation([label for label in things if label not in wrong])[:18])
    things = {label: things[label] for label in chosen}
    return sieve("is_gradient", lambda thing: accepts(*thing), right, things)


REPEATED = "Some id has to stand there more than once, with different dy."
TELLING = {
    "assigned": REPEATED,
    "the first of each word": REPEATED,
    "mean over repeats": REPEATED,
    "counts": "dy must not be ones.",
    "averaged over the batch": "One sequence is no batch: take two or more.",
    "spread to unread rows": "Some row of the table should never be read.",
    "only the first sequence": "The second sequence should bring something, too.",
    "id 0 taken for padding": "Id 0 should occur: it may be taken for padding.",
    "one row off": "dy must not be zeros.",
    "not scattered": "dy must not look like a gradient of the table.",
}  # mistakes in a lookup's backward, and the data that show them


def judge_telling_case(functions, seed):
    (make,) = functions.values()
    ids, dy, V = make(stream("telling_case", seed))
    ids, dy = np.asarray(ids), np.asarray(dy, float)
    good = ids.ndim == 2 and ids.dtype.kind in "iu" and dy.shape[:2] == ids.shape and dy.ndim == 3
    good = good and ids.size and 0 <= ids.min() and ids.max() < V
    if not good:
        sentence = (f"Expected ids (B, S) of integers below V and dy (B, S, H); got ids {ids.shape} of {ids.dtype}, "
                    f"dy {dy.shape} and V = {V!r}.")  # fmt: skip
        return of_findings("telling_case", [Finding("ids, dy and V", sentence, "form")])
    table = np.ones((V, dy.shape[2]))
    right = F.embedding_backward(dy, ids, table)
    bodies = {mistake.label: mistake.body for mistake in BACKWARD["embedding"]}
    bodies["id 0 taken for padding"] = lambda dy, ids, table: right * (np.arange(V) > 0)[:, None]
    bodies["only the first sequence"] = lambda dy, ids, table: F.embedding_backward(dy[:1], ids[:1], table)
    findings = []
    for label, advice in TELLING.items():
        seen = not same_numbers(np.asarray(bodies[label](dy, ids, table)), right)
        sentence = f"On your data the mistake '{label}' cannot be seen. {advice}"
        findings.append(holds(f"shows: {label}", seen, sentence, f"hides: {label}"))
    return of_findings("telling_case", findings)


@properties
def judge_sinusoids(sinusoids, rng):
    for label, length, size in (("an even size", 7, 8), ("an odd size", 5, 7), ("other sizes", *rng.randint(3, 15, 2))):
        right = F.sinusoids(int(length), int(size))
        angles = np.arange(length)[:, None] * 10000.0 ** (-np.arange(0, size, 2) / size)
        apart = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :size]
        slower = np.arange(length)[:, None] * 10000.0 ** (-2 * np.arange(0, size, 2) / size)
        doubled = np.empty_like(right)
        doubled[:, 0::2], doubled[:, 1::2] = np.sin(slower), np.cos(slower)[:, : size // 2]
        each = np.arange(length)[:, None] * 10000.0 ** (-np.arange(size) / size)
        own = np.where(np.arange(size) % 2, np.cos(each), np.sin(each))
        turned = np.where(np.arange(size) % 2, np.roll(right, 1, axis=1), np.roll(right, -1, axis=1))
        yield compared(f"{label}: {length} places, {size} numbers", sinusoids(int(length), int(size)), right, [
            (apart, "sines first",
             "All sines stand first and all cosines after. Here they take turns: sine, cosine, …"),
            (doubled, "2i twice", "The exponent is 2i/H for column 2i: the factor 2 is in there twice."),
            (own, "a speed for each column",
             "Every column has a speed of its own. Sine and cosine of a pair share one: columns 2i and 2i + 1 have "
             "the exponent 2i/H."),
            (turned, "cosine first", "Even columns are sines, odd ones cosines; here they have changed places."),
        ])  # fmt: skip


def linear_draw(rng):
    return {"x": rng.randn(2, 5, 4), "weight": rng.randn(4, 3)}


EXERCISES = [
    Exercise(
        "2.1",
        "The central difference",
        "Write the central difference for a function of an array: a slope for every element.",
        ("central_difference",),
        {"central_difference": stubs.central_difference},
        judge_central,
        (
            "One element is moved at a time, up and down; all others stay.",
            "np.ndindex(x.shape) gives the index of every element, whatever the number of axes. Work on copies of x.",
            "For each index: a copy with h added there, a copy with h taken away there, f of both, and their "
            "difference by 2h into the same place of an array of zeros.",
        ),
        points=2,
        closed=CHECKERS,
    ),
    Exercise(
        "2.2",
        "tanh(x) w, without the mistakes",
        "Find the mistakes of the three backwards of y = tanh(x) w on paper, then write the right one.",
        ("tanh_times_backward",),
        {"tanh_times_backward": stubs.tanh_times_backward},
        subject(
            "tanh_times",
            lambda rng: {"x": rng.randn(3, 4), "w": rng.randn(3, 4) + 1.5},
            takes=("x", "w"),
            wrt=("x", "w"),
            forward=given.tanh_times,
            known={
                "backward": {
                    "slope of the input": "That is (i): 1 - x² is not the slope of tanh. It is 1 - tanh(x)², of the "
                    "output.",
                    "w lost": "That is (ii): w multiplies tanh(x), so it multiplies dx as well.",
                    "dy lost": "That is (iii): dx has lost its dy. Slopes along a path multiply, and dy is the rest of "
                    "the path.",
                }
            },
        ),
        (
            "y is a product of two numbers, and one of them goes through tanh first.",
            "tanh has the slope 1 - tanh². Along a path slopes multiply, and dy is there on both paths.",
            "dw is dy times what w was multiplied with; dx is dy times what tanh(x) was multiplied with, times the "
            "slope.",
        ),
    ),
    Exercise(
        "2.3",
        "Amounts to shares, backward",
        "Write the backward of y = x / sum of x.",
        ("shares_backward",),
        {"shares_backward": stubs.shares_backward},
        subject(
            "shares",
            lambda rng: {"x": rng.uniform(0.5, 3.0, (3, 5))},
            takes=("x",),
            wrt=("x",),
            forward=given.shares,
            known={
                "backward": {
                    "denominator constant": "The denominator is taken as a constant. Each x is in it too, and lowers "
                    "all shares of its row.",
                    "one division": "The second term lacks a division by the sum: the slope of 1/s is -1/s².",
                    "mean for sum": "What is taken away is a mean over the row; every share brings its own part, so "
                    "sum.",
                    "softmax's rule": "The factor y in front belongs to softmax, where exp stands before the division.",
                }
            },
        ),
        (
            "x_i is in the numerator of its own share and in the denominator of all of them: two kinds of paths.",
            "With s for the sum: y_j changes with x_i by 1/s if i = j, and besides by -x_j/s² for every j.",
            "Sum over j: dy_i/s minus one number for each row, (sum of dy_j x_j)/s². Keep the axis of both sums.",
        ),
        points=2,
    ),
    Exercise(
        "2.6",
        "A check of your own",
        "Write a check of gradients. It is judged by how many wrong backwards it rejects, and must accept right ones.",
        ("is_gradient",),
        {"is_gradient": stubs.is_gradient},
        judge_is_gradient,
        (
            "What does a dy of ones not see? What does a single element not see? And what does a fixed tolerance do to "
            "small gradients?",
            "Make one number of the outputs with random dy, take its slope by every element with your 2.1, and compare "
            "with backward(dy, x), shape first.",
            "The largest difference may be some millionth of the largest slope. Draw dy once, for f and for backward "
            "alike, shaped like f(x).",
        ),
        points=4,
        needs=("2.1",),
        closed=CHECKERS,
    ),
    Exercise(
        "2.7",
        "The complex step",
        "Write (2.2) for a function of an array: nothing is subtracted, so nothing is lost.",
        ("complex_step",),
        {"complex_step": stubs.complex_step},
        judge_complex,
        (
            "It is your 2.1 with one value in place of two. What must the array be able to hold?",
            "x.astype(complex) makes a copy that can hold imaginary parts.",
            "For each index: a complex copy with 1j * h added there; f of it; its .imag by h.",
        ),
        needs=("2.1",),
        closed=CHECKERS,
    ),
    Exercise(
        "3.1",
        "The linear map of the papers",
        "Write the backward of y = x W, with W of shape (n, m).",
        ("papers_linear_backward",),
        {"papers_linear_backward": stubs.papers_linear_backward},
        subject(
            "papers_linear",
            linear_draw,
            takes=("x", "weight"),
            wrt=("x", "weight"),
            forward=given.papers_linear,
            shapes={"x": "B S n", "weight": "n m"},
            known={
                "backward": {
                    "dW transposed": "dW is transposed: here the weight is (in, out), so x comes first, xᵀ dy.",
                    "dW averaged": "dW is a mean over the positions. One weight serves them all, so their gradients "
                    "add up.",
                }
            },
        ),
        (
            "Write (3.2) with W and Wᵀ exchanged, and look at the shapes: only one order fits.",
            "dx has a number for each input; dW sums over all positions, those of the batch and of the sequence.",
            "Bring x and dy to (positions, n) and (positions, m) by reshape(-1, …), then one product with a transpose "
            "is dW.",
        ),
        closed={"F.linear_backward": F.linear_backward, "F.product_backward": F.product_backward},
    ),
    Exercise(
        "3.2",
        "What was spread out is summed up",
        "Write the backward of y = x w for w of shape (H) and of shape (S, 1).",
        ("times_backward",),
        {"times_backward": stubs.times_backward},
        subject(
            "times",
            {
                "w of shape (H)": lambda rng: {"x": rng.randn(2, 3, 4), "w": rng.randn(4) + 1.5},
                "w of shape (S, 1)": lambda rng: {"x": rng.randn(2, 3, 4), "w": rng.randn(3, 1) + 1.5},
            },
            takes=("x", "w"),
            wrt=("x", "w"),
            forward=given.times,
            gradients_on=("w of shape (H)", "w of shape (S, 1)"),
            shapes={"x": "B S H"},
            known={
                "backward": {
                    "not summed": "dw has the shape of x. Each w was used in many places: sum over the axes along "
                    "which it was spread, until the shape is that of w again.",
                    "summed over the batch only": "dw is summed over the batch but not over the other axis along which "
                    "w was spread.",
                    "averaged": "dw is a mean. Each use of w brings a gradient, and they add up.",
                    "w lost": "w is missing in dx: y = x w rises w times as fast as x.",
                }
            },
        ),
        (
            "Where w was copied to, its gradients come from, and there they add up.",
            "For (H) those are the axes of the batch and of the sequence; for (S, 1) the batch and the last axis, "
            "which has length 1 in w and must stay: keepdims=True.",
            "In both cases sum dy x over the batch first. Then look at w.ndim, or at w.shape, which axis is left to "
            "sum.",
        ),
        points=2,
    ),
    Exercise(
        "3.3",
        "A product of two inputs",
        "Write the backward of S = Q Kᵀ, each query with each key.",
        ("compare_backward",),
        {"compare_backward": stubs.compare_backward},
        subject(
            "compare",
            lambda rng: {"query": rng.randn(5, 4), "key": rng.randn(3, 4)},
            takes=("query", "key"),
            wrt=("query", "key"),
            forward=given.compare,
            shapes={"query": "S D", "key": "K D"},
            known={
                "backward": {
                    "swapped": "dQ and dK have changed places: dQ has a row for each query.",
                    "dQ from Q": "dQ is made from Q. A score rises with a query as fast as its key says: dQ = dS K.",
                }
            },
        ),
        (
            "S_sk is the sum over d of Q_sd K_kd. By what does it rise when Q_sd does?",
            "Query s meets all keys, so its gradient sums over k; key k meets all queries, so its gradient sums over "
            "s.",
            "A sum over the last axis of dS is a product with K from the right; a sum over the first is the same with "
            "dS transposed.",
        ),
    ),
    Exercise(
        "3.5",
        "The linear map",
        "Write y = x Wᵀ + b and its backward, for any number of axes in front.",
        ("linear", "linear_backward"),
        {"linear": F.linear, "linear_backward": F.linear_backward},
        formula("linear"),
        (
            "Forward: the last axis of x meets the last axis of W. Backward: which of the three gradients sum over all "
            "positions?",
            "x may be (B, S, n): for dW and db bring it and dy to two axes first, reshape(-1, n) and reshape(-1, m).",
            "dx needs no transpose, dW needs that of dy in front of x, db sums the rows of dy. (Leave out alone; "
            "whoever gives it is also content with a new array.)",
        ),
        points=2,
        closed={"F.product": F.product, "F.product_backward": F.product_backward},
    ),
    Exercise(
        "4.1",
        "The gradient of a table",
        "Write the backward of the lookup.",
        ("embedding_backward",),
        {"embedding_backward": F.embedding_backward},
        formula("embedding"),
        (
            "A word that stands there three times brings three gradients to one row.",
            "table[ids] += dy keeps only the last of them. np.add.at adds them all; begin with zeros, or with out.",
            "Flatten ids, and bring dy to (number of ids, H). Where an id is padding_idx, dy must be 0 before it is "
            "added.",
        ),
        points=2,
    ),
    Exercise(
        "4.5",
        "The table of positions",
        "Write the backward of adding a table of positions to all sequences.",
        ("add_positions_backward",),
        {"add_positions_backward": add_positions_backward},
        formula("add_positions"),
        (
            "A sum hands its gradient to both summands. But one of them is the same for all sequences.",
            "Row s of the table was added to place s of every sequence. Rows beyond the longest sequence were never "
            "used.",
            "Zeros like the table, and into its first S rows the sum of dy over the batch; dwords is dy itself.",
        ),
    ),
    Exercise(
        "4.6",
        "Sinusoids",
        "Write the table of sines and cosines, (4.6).",
        ("sinusoids",),
        {"sinusoids": F.sinusoids},
        judge_sinusoids,
        (
            "Columns go in pairs, a sine and a cosine of one angle; each pair has its own speed.",
            "The angles are an outer product, (length, 1) times (H/2,): places times speeds 10000^(-2i/H). If H is "
            "odd, the last pair has no cosine.",
            "Make an empty table and fill every second column: [:, 0::2] with the sines, [:, 1::2] with as many "
            "cosines as there is room for.",
        ),
    ),
    Exercise(
        "4.7",
        "Data that tell",
        "Make ids and dy on which no wrong backward of the lookup can look right: the data are half of a check.",
        ("telling_case",),
        {"telling_case": stubs.telling_case},
        judge_telling_case,
        (
            "With ids 0, 1, 2, 3 in one sequence and dy of ones almost everything looks right. Think of each mistake "
            "of the chapter, and of data that betray it.",
            "Which ids repeat? Which rows are never read? How many sequences are there? What is special about id 0?",
            "Two sequences or more; one id three times, among them in both; id 0 once; a V larger than needed; dy from "
            "rng.randn(B, S, H).",
        ),
        points=2,
        needs=("4.1",),
    ),
]
