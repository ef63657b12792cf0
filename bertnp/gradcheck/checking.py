"""The gradient check: a backward against slopes of its forward, and against what every backward must hold to.

The tests come in one order, and the first that fails ends the check with a sentence of its own:

    runs, keys              f and backward can be called, backward answers with the right names
    types                   arrays of the inputs' own float type, every number finite
    shapes                  a gradient has the shape of what it is the gradient of
    zero cotangent          backward(0) = 0
    linearity               backward(a g + b k) = a backward(g) + b backward(k)
    repeatability           the same call gives the same answer; gradients of parameters add up
    inputs untouched        neither f nor backward writes into what it was given
    non-contiguous inputs   a view with gaps gives the same answer as a compact copy
    directions              <gradient, v> = slope along v, for a few random v in every tensor
    coordinates             the same for single elements of every tensor

Then a wrong gradient is compared with known mistakes, and with what lost factors, sums and transposes leave behind.
"""

import math
from types import SimpleNamespace

import numpy as np

from bertnp.backend import backend_of, get_backend, is_array, to_numpy
from bertnp.gradcheck.differences import EPS, STEPS, representable, slope
from bertnp.gradcheck.report import Report, Row
from bertnp.gradcheck.signatures import describe

RTOL = {"central": 1e-7, "5point": 1e-8, "complex": 1e-10}  # of one operation, in float64
BLOCK_RTOL = {"central": 1e-6, "5point": 1e-7, "complex": 1e-9}  # of a layer or a model
SINGLE_RTOL = {"float32": 2e-4, "float16": 2e-2}  # of code in shorter floats, whatever the method
SAME = 1e-9  # how closely two answers agree that should be the same numbers, of the largest
COTANGENT_SCALE = 1.7  # the standard deviation of a random cotangent: nothing is 1 by accident
FULL_SCAN = 4096  # tensors up to this size are looked at as a whole where one of their directions is wrong


class Failure(Exception):
    """A test of the check has failed: its name, and what to say (or a function that finds out what to say)."""

    def __init__(self, stage, sentence):
        super().__init__(stage)
        self.stage, self.sentence = stage, sentence


def check(
    f,
    backward,
    inputs,
    wrt=None,
    g="normal",
    method="central",
    h=None,
    rtol=None,
    noise=8.0,
    coords="auto",
    max_coords=64,
    must=(),
    directional=3,
    shapes=None,
    seed=0,
):
    """Is `backward` the derivative of `f`? Returns a Report.

        report = check(lambda x: softmax(x), lambda g, x: {"x": softmax_backward(g, softmax(x))}, {"x": x})
        report.raise_if_failed()

    f(**inputs): an array, a number, or a tuple of which the first is differentiated
    backward(g, **inputs): a dictionary, the gradient of Σ g · f for each name in wrt; f has always run just before
    inputs: arrays, of any device, and anything else that f takes; the functions get copies
    wrt: names of the inputs to differentiate by; None: every array of floats
    g: the cotangent: "normal", random numbers; or an array of the shape of f's first output. Ones are refused: a
        softmax adds up to 1 whatever goes in, so under ones its true gradient is 0 and a backward of zeros looks right
    method: "central", "5point" or "complex", see `differences`   h: the step; None: ε^(1/3) max(1, |x|), ε^(1/4)
        max(1, |x|) or 1e-30
    rtol, noise: a tensor is right if max|a - n| <= rtol · max(|a|, |n|) + noise · ε · Σ|g · y| / h, a the answer of
        backward and n the slope. None: 1e-7, 1e-8 or 1e-10 by method; 2e-4 where an input is float32, and then the
        slopes are of f on the same numbers in float64
    coords: "auto", all elements of a small tensor and some of a large one; "all"; or {name: [index, …]}
    max_coords: how many elements are some
    must: {name: [index, …]}, elements to look at besides; an index may leave out its last axes, and means all of them
    directional: how many random directions to try in each tensor
    shapes: {name: "B S H"}, names of axes, for sentences that name what went wrong
    seed: of cotangent, directions and the choice of elements
    """
    return Check(
        f, backward, inputs, wrt, g, method, h, rtol, noise, coords, max_coords, must, directional, shapes, seed
    ).run()


class Check:
    """One run of `check`. Beyond its arguments:

    title, case: how the report calls it   block: True for a layer or a model, with a wider default rtol
    known: an object with `match(mine, error, failure, g, inputs)` -> (sentence, label) or None, or None
    numbers: {"1 - p": 0.75}, numbers that a lost factor may be, by name
    twice: a function of g that runs the backward twice and returns the gradients that should have added up
    """

    def __init__(
        self, f, backward, inputs, wrt=None, g="normal", method="central", h=None, rtol=None, noise=8.0, coords="auto",
        max_coords=64, must=(), directional=3, shapes=None, seed=0, *, title="check", case="", block=False, known=None,
        numbers=None, twice=None,
    ):  # fmt: skip
        if not callable(f) or not callable(backward):
            raise TypeError("f and backward: expected two functions")
        if not isinstance(inputs, dict):
            raise TypeError(f"inputs: expected a dictionary from names to arrays, got {type(inputs).__name__}")
        if method not in STEPS:
            raise ValueError(f"method: expected central, 5point or complex, got {method!r}")
        if h is not None and not h > 0:
            raise ValueError(f"h: expected a positive number or None, got {h!r}")
        if coords not in ("auto", "all") and not isinstance(coords, dict):
            raise ValueError(f'coords: expected "auto", "all" or a dictionary, got {coords!r}')
        self.f, self.backward = f, backward
        self.method, self.h, self.noise = method, h, noise
        self.coords, self.max_coords, self.directional = coords, max_coords, directional
        self.rng = np.random.default_rng(seed)
        self.case, self.known, self.twice = case, known, twice
        self.backends = {name: backend_of(value) for name, value in inputs.items() if is_array(value)}
        self.inputs = {name: _host_copy(value) for name, value in inputs.items()}
        self.wrt = self._names(wrt)
        self.must = self._indices("must", must or {})
        if isinstance(coords, dict):
            self.coords = self._indices("coords", coords)
        self.axes = self._axes(shapes or {})
        rates = {f"1 - {name}": 1.0 - value for name, value in inputs.items() if _is_rate(value)}
        self.numbers = {**rates, **(numbers or {})}
        self.asked_g = self._asked_cotangent(g)

        kinds = {self.inputs[name].dtype.name for name in self.wrt}
        self.single = next((kind for kind in ("float16", "float32") if kind in kinds), None)
        default = SINGLE_RTOL[self.single] if self.single else (BLOCK_RTOL if block else RTOL)[method]
        self.rtol = default if rtol is None else rtol
        step = f"h={STEPS[method] if h is None else h:.1e}"
        self.report = Report(title, f"{self.single or 'float64'}, {method}, {step}, g normal, seed {seed}")
        if self.single:
            self.report.notes.append(f"{self.single} code, judged against slopes of f on float64 copies of the inputs")
        self.written = {}  # name of an input -> which function wrote into it
        self.mine = self.error = None
        # what the slopes are taken of: double precision, and read-only, since all evaluations share them
        self.double = {
            name: value.astype(np.float64) if name in self.backends and value.dtype.kind == "f" else value
            for name, value in self.inputs.items()
        }
        self.base = {name: self._shared(name, value) for name, value in self.double.items()}

    # the arguments

    def _names(self, wrt):
        floats = [n for n in self.backends if self.inputs[n].dtype.kind == "f"]
        names = floats if wrt is None else [wrt] if isinstance(wrt, str) else list(wrt)
        for name in names:
            if name not in self.inputs:
                raise ValueError(f"wrt: there is no input {name!r}; the inputs are {', '.join(self.inputs)}")
            if name not in floats:
                what = self.inputs[name].dtype if name in self.backends else type(self.inputs[name]).__name__
                raise TypeError(f"wrt: input {name!r} is {what}; only an array of floats has a gradient")
        if not names:
            raise ValueError("there is nothing to differentiate by: no input is an array of floats")
        return names

    def _indices(self, what, places):
        """{name: [full index, …]} from indices that may leave out their last axes."""
        if not isinstance(places, dict):
            raise TypeError(f"{what}: expected a dictionary from names to lists of indices, got {places!r}")
        full = {}
        for name, indices in places.items():
            if name not in self.wrt:
                raise ValueError(f"{what}: {name!r} is not among the inputs to check: {', '.join(self.wrt)}")
            shape = self.inputs[name].shape
            for index in indices:
                index = tuple(index) if isinstance(index, (tuple, list)) else (index,)
                inside = len(index) <= len(shape) and all(0 <= i < n for i, n in zip(index, shape, strict=False))
                if not inside:
                    raise ValueError(f"{what}: {name} of shape {shape} has no element {index}")
                full.setdefault(name, []).extend((*index, *rest) for rest in np.ndindex(shape[len(index) :]))
        return full

    def _axes(self, shapes):
        """{name: ["B", "S", "H"]}, from "B S H", once the letters agree with the sizes."""
        axes, sizes = {}, {}
        for name, letters in shapes.items():
            if name not in self.backends:
                raise ValueError(f"shapes: there is no array {name!r} among the inputs {', '.join(self.inputs)}")
            axes[name] = letters.split()
            shape = self.inputs[name].shape
            if len(axes[name]) != len(shape):
                raise ValueError(f"shapes: {name} is {letters!r}, but its shape is {shape}")
            for letter, size in zip(axes[name], shape, strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise ValueError(f"shapes: {letter} is {sizes[letter]} in one input and {size} in {name}")
        return axes

    def _asked_cotangent(self, g):
        ones = (
            "a cotangent of ones is blind. It asks for the gradient of the plain sum of f, and a softmax adds up to 1 "
            "whatever goes in: its true gradient is then 0, so a backward that returns zeros, or only half of the "
            'terms, would pass. Leave g="normal", or hand in random numbers'
        )
        if isinstance(g, str):
            if g == "normal":
                return None
            raise ValueError(f"g: {ones}" if g == "ones" else f'g: expected "normal" or an array, got {g!r}')
        g = np.array(to_numpy(g), dtype=np.float64)
        if g.size > 1 and (g == g.flat[0]).all():
            raise ValueError(f"g: {ones}" if g.flat[0] else "g: a cotangent of zeros tests nothing")
        return g

    # calling the two functions

    def _shared(self, name, value):
        """An input in double precision that all evaluations share; no one may write to it."""
        if name not in self.backends:
            return value
        placed = self.backends[name].asarray(value)
        if isinstance(placed, np.ndarray):
            placed = placed.view()
            placed.flags.writeable = False
        return placed

    def _given(self, strided=False):
        """What a function is called with: copies of the inputs, each on its own device."""
        return {
            name: _place(value, self.backends[name], strided) if name in self.backends else value
            for name, value in self.inputs.items()
        }

    def _untouched(self, given, who):
        """Note which inputs a call has written to."""
        for name in self.backends:
            if not np.array_equal(to_numpy(given[name]), self.inputs[name], equal_nan=self.inputs[name].dtype != bool):
                self.written.setdefault(name, who)

    def value(self, given):
        """f's first output as it came."""
        result = self.f(**given)
        return result[0] if isinstance(result, (tuple, list)) else result

    def number_of(self, y):
        return np.array(to_numpy(y))

    def gradients(self, g, strided=False):
        """The answer of backward to cotangent g, as host arrays; f runs before, on the same arguments."""
        given = self._given(strided)
        self.value(given)
        self._untouched(given, "f")
        given = self._given(strided) if self.written else given
        cotangent = float(g) if np.ndim(g) == 0 else _place(g.astype(self.g_dtype), self.g_backend, strided)
        answer = self.backward(cotangent, **given)
        self._untouched(given, "backward")
        if np.ndim(g) and not np.array_equal(to_numpy(cotangent), g.astype(self.g_dtype)):
            self.written.setdefault("g", "backward")
        if not isinstance(answer, dict):
            return answer
        return {name: None if value is None else self.number_of(value) for name, value in answer.items()}

    def slope(self, name, moved, h):
        """d/dt Σ g · f at t = 0, with input `name` replaced by moved(t)."""

        def along(t):
            return np.asarray(to_numpy(self.value({**self.base, name: self.backends[name].asarray(moved(t))})))

        found = float((self.g * slope(along, self.method, h)).sum())
        if not math.isfinite(found):
            raise Failure("slopes", f"f is not finite a step of {h:.1e} away in {name}: choose other inputs.")
        return found

    # the tests, in order

    def run(self):
        tests = (
            self.test_runs, self.test_types, self.test_shapes, self.test_zero, self.test_linear, self.test_repeats,
            self.test_untouched, self.test_strides, self.test_slopes,
        )  # fmt: skip
        try:
            for test in tests:
                test()
        except Failure as failure:
            self._explain(failure)
        return self.report

    def _explain(self, failure):
        """Put the failure in the report; the sentence of a known mistake comes first."""
        match = None
        if self.known is not None and (self.mine is not None or self.error is not None):
            match = self.known.match(self.mine, self.error, failure, self.g, self.inputs)
        sentence, mistake = match or (None, None)
        if callable(failure.sentence):
            sentence = sentence or failure.sentence()
        elif sentence is None:
            sentence = failure.sentence
        elif failure.stage in ("types", "shapes", "runs"):
            sentence = f"{failure.sentence} {sentence}"
        self.report.fail(failure.stage, sentence, mistake)

    def test_runs(self):
        try:
            given = self._given()
            y = self.value(given)
        except Exception as error:
            raise Failure("runs", f"f raised {_said(error)}") from error
        self._untouched(given, "f")
        again = self.number_of(self.value(self._given()))
        host = self.number_of(y)
        if host.dtype.kind != "f":
            raise Failure("runs", f"f returned {host.dtype}, expected floats.")
        if not np.isfinite(host).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(host))[0])
            raise Failure("types", f"f itself returned {host[at]} at {list(at)}: mend the forward first.")
        if host.shape != again.shape or not _same(host, again):
            raise Failure(
                "repeatability",
                "f gives another answer to the same inputs. Whatever is random in it (a dropout mask, most often) has "
                "to be drawn once, outside, and handed in as an input.",
            )
        self.y_shape = host.shape
        self.g_dtype = host.dtype
        self.g_backend = backend_of(y) if is_array(y) else get_backend("numpy")
        if self.asked_g is None:
            g = self.rng.normal(size=host.shape) * COTANGENT_SCALE
        elif self.asked_g.shape == host.shape:
            g = self.asked_g
        else:
            raise ValueError(f"g: f returned shape {host.shape}, but g has shape {self.asked_g.shape}")
        self.g = np.asarray(g).astype(self.g_dtype).astype(np.float64)
        self.size = float(np.abs(self.g * host).sum())  # Σ |g · y|, what rounding is measured by
        try:
            answer = self.gradients(self.g)
        except Exception as error:
            self.error = error
            raise Failure("runs", f"backward raised {_said(error)}.") from error
        self._test_keys(answer)
        self.mine = {name: answer[name] for name in self.wrt}

    def _test_keys(self, answer):
        names = ", ".join(repr(name) for name in self.wrt)
        if not isinstance(answer, dict):
            raise Failure(
                "keys", f"backward returned a {type(answer).__name__}, expected a dictionary with the keys {names}."
            )
        missing = [name for name in self.wrt if name not in answer]
        strange = [name for name in answer if name not in self.inputs]
        if missing:
            came = ", ".join(repr(name) for name in answer) or "nothing"
            hint = ""
            if any(name == f"d{wanted}" for name in strange for wanted in missing):
                hint = " Name a gradient like the input it belongs to, without the d in front."
            raise Failure("keys", f"backward returned {came}; expected {names}.{hint}")
        if strange:
            raise Failure("keys", f"backward returned {strange[0]!r}, which is no input; expected {names}.")
        for name in self.wrt:
            if answer[name] is None:
                raise Failure("keys", f"backward returned None for {name!r}: a return is missing, or a value is.")

    def test_types(self):
        for name, gradient in self.mine.items():
            wanted = self.inputs[name].dtype
            if gradient.dtype.kind not in "f":
                raise Failure("types", f"The gradient of {name} is {gradient.dtype}, expected {wanted}.")
            if gradient.dtype != wanted and gradient.ndim:
                longer = gradient.dtype.itemsize > wanted.itemsize
                why = (
                    "a number or array in double precision has crept in (np.sqrt of a Python number makes one)"
                    if longer
                    else "digits are lost on the way"
                )
                raise Failure("types", f"The gradient of {name} is {gradient.dtype}, but {name} is {wanted}: {why}.")
            if not np.isfinite(gradient).all():
                at = tuple(int(i) for i in np.argwhere(~np.isfinite(gradient))[0])
                raise Failure("types", f"The gradient of {name} has {gradient[at]} at {list(at)}.")

    def test_shapes(self):
        for name, gradient in self.mine.items():
            wanted, came = self.inputs[name].shape, gradient.shape
            if wanted == came:
                continue
            letters = self.axes.get(name)
            sentence = f"The gradient of {name} has shape {came}, but {name} has {_named(wanted, letters)}: "
            if len(set(wanted)) == len(wanted) and sorted(wanted) == sorted(came):
                order = [wanted.index(n) for n in came]
                axes = [letters[i] for i in order] if letters else [f"axis {i}" for i in order]
                sentence += f"its axes are there, in the order ({', '.join(axes)}). It is transposed."
            elif np.prod(wanted) == np.prod(came):
                sentence += "as many numbers in another shape; a reshape or a transpose is missing."
            elif len(came) > len(wanted) and (came[len(came) - len(wanted) :] == wanted or not wanted):
                sentence += f"{name} was spread over more axes than it has, so its gradient is summed over them."
            else:
                sentence += "a gradient always has the shape of what it belongs to."
            raise Failure("shapes", sentence)

    def _allowed_same(self, *arrays):
        return SAME * max(np.abs(a).max(initial=0.0) for a in arrays) + self._rounding()

    def _rounding(self, h=None):
        """noise · ε · Σ|g · y| / h: what a difference cannot tell from zero."""
        if self.single:
            return self.noise * float(np.finfo(self.single).eps) * self.size
        if self.method == "complex":
            return self.noise * EPS * self.size
        return self.noise * EPS * self.size / (h or self.h or STEPS[self.method])

    def _agree(self, name, a, b):
        loose = 1e3 if self.single else 1.0
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return False
        return bool(np.abs(a - b).max(initial=0.0) <= loose * self._allowed_same(a, b))

    def _ask(self, g, strided=False):
        """backward once more, where it has answered well before."""
        try:
            answer = self.gradients(g, strided)
            return {name: answer[name] for name in self.wrt}
        except Exception as error:
            what = "inputs that are views with gaps" if strided else "another cotangent of the same shape"
            stage = "non-contiguous inputs" if strided else "repeatability"
            raise Failure(stage, f"backward ran once, but with {what} it raised {_said(error)}.") from error

    def test_zero(self):
        for name, gradient in self._ask(self.g * 0.0).items():
            if gradient.any():
                self.test_repeats()
                raise Failure(
                    "zero cotangent",
                    f"With g = 0 nothing depends on {name}, yet its gradient is not 0. Every term of a backward has g "
                    "as a factor: one of yours has not.",
                )

    def test_linear(self):
        other = np.asarray(self.rng.normal(size=self.y_shape) * COTANGENT_SCALE)
        mixed, others = self._ask(2.5 * self.g - other), self._ask(other)
        for name in self.wrt:
            if not self._agree(name, mixed[name], 2.5 * self.mine[name] - others[name]):
                self.test_repeats()
                raise Failure(
                    "linearity",
                    f"The gradient of {name} is not linear in g: twice the cotangent must give twice the gradient. "
                    "Look for a g that is squared, compared, clipped or left out.",
                )

    def test_repeats(self):
        again = self._ask(self.g)
        for name in self.wrt:
            if self._agree(name, again[name], self.mine[name]):
                continue
            if self._agree(name, again[name], 2.0 * self.mine[name]):
                raise Failure(
                    "repeatability",
                    f"The second call gives twice the gradient of {name}: it is added to what the first call left "
                    "behind. Begin each call from zero, and leave adding up to the parameters.",
                )
            raise Failure(
                "repeatability",
                f"backward gives another gradient of {name} to the same inputs. Whatever is random in it has to be "
                "the forward's own: keep the mask, do not draw it again.",
            )
        if self.twice is not None:
            for name, doubled in self.twice(self.g).items():
                if not self._agree(name, doubled, 2.0 * self.mine[name]):
                    raise Failure(
                        "repeatability",
                        f"After two backwards the gradient of {name} is not twice that of one: add to it (+=), do not "
                        "overwrite it (=). A parameter that is used in two places needs both.",
                    )

    def test_untouched(self):
        for name, who in self.written.items():
            what = "the cotangent g" if name == "g" else f"the input {name}"
            raise Failure(
                "inputs untouched",
                f"{who} writes into {what}. Others still read it: make a new array (a = a * b, not a *= b).",
            )

    def test_strides(self):
        strided = self._ask(self.g, strided=True)
        for name in self.wrt:
            if strided[name].shape != self.mine[name].shape or not self._agree(name, strided[name], self.mine[name]):
                raise Failure(
                    "non-contiguous inputs",
                    f"The gradient of {name} is another one where the inputs are views with gaps (every second "
                    "element of a larger array). Something reads memory as if it were one block.",
                )

    # slopes

    def test_slopes(self):
        y = self._double_value()
        if self.method == "complex":
            self._test_analytic(y)
        rows = [self._row(name) for name in self.wrt]
        self.report.rows += rows
        wrong = [row for row in rows if row.verdict == "WRONG"]
        if wrong:
            stage = "coordinates" if any(row.error > row.allowed for row in wrong) else "directions"
            raise Failure(stage, lambda: self._describe(rows, wrong))

    def _describe(self, rows, wrong):
        """Look at the whole of what is wrong, and say what it looks like: fast first, slow to explain."""
        for row in wrong:
            rest = [place for place in np.ndindex(row.shape) if np.isnan(row.expected[place])]
            if self.coords == "auto" and row.size > FULL_SCAN:
                rest = [rest[i] for i in self.rng.choice(len(rest), FULL_SCAN // 4, replace=False)]
            if not isinstance(self.coords, dict):
                self._scan(row, row.name, self.double[row.name], rest)
        context = SimpleNamespace(rows=rows, axes=self.axes, inputs=self.inputs, numbers=self.numbers)
        return describe(wrong, context)

    def _double_value(self):
        """f in double precision, once, with a word where it does not stay so."""
        try:
            y = self.number_of(self.value(self.base))
        except Exception as error:
            raise Failure("slopes", f"f raised {_said(error)} on float64 inputs.") from error
        if y.dtype != np.float64:
            raise Failure(
                "slopes",
                f"f computes in {y.dtype} even on float64 inputs. A difference of two nearly equal float32 numbers has "
                "hardly a digit left (at h = 1e-5 it is off by five per cent): let f keep the type of its inputs.",
            )
        return y

    def _test_analytic(self, y):
        """The complex step is silent where f is not analytic, so it is compared with differences of many sizes."""
        wanted = {name: self.rng.normal(size=self.inputs[name].shape) for name in self.wrt}
        for name, v in wanted.items():
            x = self.double[name]
            try:
                exact = self.slope(name, lambda t, x=x, v=v: x + t * v, STEPS["complex"])
            except Exception as error:
                raise Failure(
                    "slopes", f'f cannot take complex input: {_said(error)}; use method="central" or "5point".'
                ) from error
            nearest, scale = math.inf, 0.0
            for h in 10.0 ** -np.arange(3.0, 12.0):
                ends = [
                    self.number_of(self.value({**self.base, name: self.backends[name].asarray(x + t * v)}))
                    for t in (h, -h)
                ]
                central = float((self.g * (ends[0] - ends[1])).sum()) / (2.0 * h)
                floor = 1e3 * EPS * self.size / h  # what the difference itself is worth
                if abs(central - exact) - floor < nearest:
                    nearest, scale = abs(central - exact) - floor, max(abs(central), abs(exact))
            length = float(np.sqrt((self.mine[name] ** 2).sum()))
            if nearest > 1e-3 * max(scale, length):
                raise Failure(
                    "slopes",
                    f"The complex step disagrees with every difference along {name}: something in f is not analytic "
                    "(np.var, np.abs, np.maximum, a comparison of complex numbers) and loses the imaginary part. "
                    'Write it as products, or use method="central".',
                )

    def _step(self, x):
        """The step at a number or array x: as asked for, or in proportion to x."""
        if self.h is not None or self.method == "complex":
            return self.h or STEPS["complex"]
        return STEPS[self.method] * max(1.0, float(np.abs(x).max(initial=0.0)))

    def _row(self, name):
        """The line of one tensor in the table: directions first, then elements."""
        mine, x = self.mine[name].astype(np.float64), self.double[name]
        row = Row(self.case, name, x.shape, yours=mine, expected=np.full(x.shape, np.nan))
        astray = not all(self._direction_agrees(name, mine, x) for _ in range(self.directional))
        places = self._places(name, mine)
        self._scan(row, name, x, places)
        if row.error > row.allowed or astray:
            row.verdict = "WRONG"
        elif max(row.largest, np.nanmax(np.abs(row.expected), initial=0.0)) <= self._rounding() and row.checked:
            row.verdict = "zero"
        return row

    def _direction_agrees(self, name, mine, x):
        """<gradient, v> against the slope along a random v of length 1, with signs of both kinds."""
        if x.size == 0:
            return True
        v = self.rng.normal(size=x.shape)
        v = v / math.sqrt((v * v).sum())
        h = self._step(x)
        found = self.slope(name, lambda t: x + t * v, h)
        length = math.sqrt((mine * mine).sum())  # the largest slope that any direction can have
        allowed = self.rtol * max(length, abs(found)) + self._rounding(h)
        return abs((mine * v).sum() - found) <= allowed

    def _places(self, name, mine):
        """Which elements to look at: all, or those that must be, the corners, the largest, and some at random."""
        if isinstance(self.coords, dict):
            return list(dict.fromkeys([*self.coords.get(name, []), *self.must.get(name, [])]))
        if self.coords == "all" or mine.size <= self.max_coords:
            return list(np.ndindex(mine.shape))
        first = (0,) * mine.ndim
        corners = [first, *((*first[:i], n - 1, *first[i + 1 :]) for i, n in enumerate(mine.shape))]
        largest = np.unravel_index(np.abs(mine).argmax(), mine.shape)
        chosen = self.rng.choice(mine.size, self.max_coords, replace=False)
        some = zip(*np.unravel_index(chosen, mine.shape), strict=True)
        everything = [*self.must.get(name, []), *corners, largest, *some]
        return list(dict.fromkeys(tuple(int(i) for i in place) for place in everything))

    def _scan(self, row, name, x, places):
        """Fill in the expected gradient at some elements, and the row's verdict of them."""
        smallest_step = math.inf
        for place in places:
            h = representable(x[place], self._step(x[place])) if self.method != "complex" else self._step(x)
            smallest_step = min(smallest_step, h)

            def moved(t, place=place):
                point = x.astype(complex) if self.method == "complex" else x.copy()
                point[place] += t
                return point

            row.expected[place] = self.slope(name, moved, h)
        known = ~np.isnan(row.expected)
        row.checked = int(known.sum())
        if row.checked:
            error = np.where(known, np.abs(row.yours - np.where(known, row.expected, 0.0)), -1.0)
            row.worst = np.unravel_index(error.argmax(), error.shape)
            row.error = float(error[row.worst])
            scale = max(row.largest, float(np.abs(row.expected[known]).max()))
            row.allowed = max(row.allowed, self.rtol * scale + self._rounding(smallest_step))


def _is_rate(value):
    return isinstance(value, float) and 0.0 < value < 1.0


def _host_copy(value):
    return np.array(to_numpy(value)) if is_array(value) else value


def _place(array, backend, strided):
    """A copy of a host array on a device, with gaps between its elements or without."""
    if not strided or array.ndim == 0:
        return backend.asarray(array.copy())
    wide = np.ones([2 * n for n in array.shape], array.dtype)
    every_second = (slice(None, None, 2),) * array.ndim
    wide[every_second] = array
    return backend.asarray(wide)[every_second]


def _same(a, b):
    return np.allclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True)


def _said(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _named(shape, letters):
    return f"({', '.join(letters)}) = {shape}" if letters else str(shape)
