"""Every exercise: its solution passes, nothing else does, and what is wrong is called by its name."""

import ast
import inspect
import re
import textwrap
import types
from pathlib import Path

import answers
import numpy as np
import other_answers
import pytest
from make_expected import expected, subjects

from bertnp.gradcheck import mistakes
from bertnp.gradcheck.recognition import same_numbers
from bertnp.learn.chapters import chapters
from bertnp.learn.checking import check
from bertnp.learn.exercises import exercise_of, registry
from bertnp.learn.loading import BrokenFile, load
from bertnp.learn.stubbing import stub, textbook_of
from bertnp.learn.subjects import stored

EXERCISES = registry()
SUBJECTS = {subject.name: subject for subject in subjects()}
by_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
by_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
ITS_OWN_DATA = {"1.3", "4.7"}  # what is asked for is data, which may be the same every time
CHECKS = {"2.6", "5.8", "11.6", "20.2"}  # a check is asked for; it gets functions


def own_copy(function):
    """A function of the library as if a student had written it."""
    function = textbook_of(function)
    code = function.__code__.replace(co_filename="solution.py", co_firstlineno=function.__code__.co_firstlineno + 10**6)
    return types.FunctionType(code, function.__globals__, function.__name__, function.__defaults__)


def solution(exercise):
    return {
        name: getattr(answers, name) if hasattr(answers, name) else own_copy(exercise.source[name])
        for name in exercise.functions
    }


def write(path, exercise, body):
    """A student's file in which every function of an exercise has this body, with {name}, {args}, … put in."""
    lines = ["import math", "import numpy as np", "import bertnp.functional as F"]
    for name in exercise.functions:
        source = textbook_of(exercise.source[name])
        signature = inspect.signature(source)
        arguments = ", ".join(signature.parameters)
        told = body.format(name=name, args=arguments, module=source.__module__, source=source.__name__)
        lines += [f"def {name}{signature}:", *(f"    {line}" for line in told.splitlines())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def in_its_place(exercise, change):
    """Each function of a solution replaced by change(function), with the same parameters."""

    def other(name, function):
        changed = change(function)
        code = changed.__code__.replace(co_name=name)
        made = types.FunctionType(code, globals(), name, None, changed.__closure__)
        made.__signature__ = inspect.signature(function)
        return made

    return {name: other(name, function) for name, function in solution(exercise).items()}


@by_exercise
def test_the_solution_passes_whatever_the_seed(exercise):
    for seed in (0, 2026):
        verdict = check(exercise, solution(exercise), seed)
        assert verdict.ok and verdict.score == 1.0, verdict.text
        assert not verdict.sentence and not verdict.mistake
    assert check(exercise, solution(exercise), 2026) == verdict


OTHERS = load(Path(other_answers.__file__))


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if set(e.functions) <= OTHERS.keys()],
                         ids=lambda e: e.number)  # fmt: skip
def test_right_answers_in_another_style_pass(exercise):
    verdict = check(exercise, OTHERS, 7)
    assert verdict.ok and verdict.score == 1.0, verdict.text


def zero(value):
    """The same shapes, and nothing but zeros."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(zero, value))
    if isinstance(value, dict):
        return {key: zero(part) for key, part in value.items()}
    return type(value)() if isinstance(value, str) else value * 0


def zeros(function):
    return lambda *args, **kwargs: zero(function(*args, **kwargs))


def remembered(function):
    answers = []

    def first_answer(*args, **kwargs):
        if not answers:
            answers.append(function(*args, **kwargs))
        return answers[0]

    return first_answer


def first_input(function):
    return lambda *args, **kwargs: [*args, *kwargs.values()][0]


def all_inputs(function):
    return lambda *args, **kwargs: (*args, *kwargs.values())


def number(function):
    return lambda *args, **kwargs: 1.0


def yes(function):
    return lambda *args, **kwargs: True


def no(function):
    return lambda *args, **kwargs: False


@by_exercise
def test_no_constant_nor_an_input_passes(exercise):
    for cheat in (zeros, remembered, first_input, all_inputs, number, yes, no):
        if cheat in (first_input, remembered) and exercise.number in ITS_OWN_DATA:
            continue
        verdict = check(exercise, in_its_place(exercise, cheat))
        assert not verdict.ok and verdict.score < 1, cheat.__name__


@by_exercise
def test_whoever_writes_into_the_inputs_does_not_pass(exercise):
    def spoil(function):
        def spoiling(*args, **kwargs):
            answer = function(*args, **kwargs)
            for value in (*args, *kwargs.values()):
                if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim:
                    value += 1.0
            return answer

        return spoiling

    touched = []

    def note(function):
        def noting(*args, **kwargs):
            touched.extend(v for v in (*args, *kwargs.values()) if isinstance(v, np.ndarray) and v.dtype.kind == "f")
            return function(*args, **kwargs)

        return noting

    check(exercise, in_its_place(exercise, note))
    if touched and exercise.number not in CHECKS:
        assert not check(exercise, in_its_place(exercise, spoil)).ok


@pytest.mark.parametrize("exercise", [e for e in EXERCISES.values() if len(e.functions) > 1], ids=lambda e: e.number)
def test_what_is_right_counts_beside_what_is_not_written_yet(exercise, tmp_path):
    path = tmp_path / "stubs.py"
    path.write_text(f"import numpy as np\n{stub(exercise)}", encoding="utf-8")
    last = exercise.functions[-1]
    verdict = check(exercise, {**solution(exercise), last: load(path)[last]})
    assert verdict.mistake == "unwritten" and last in verdict.sentence
    assert verdict.score == 1 - 1 / len(exercise.functions)
    first = exercise.functions[0]
    verdict = check(exercise, {**solution(exercise), first: load(path)[first]})
    assert verdict.mistake == "unwritten" and 0 <= verdict.score <= 1 - 1 / len(exercise.functions)


@by_exercise
def test_the_librarys_own_function_is_refused(exercise, tmp_path):
    body = "from {module} import {source} as theirs\nreturn theirs({args})"
    verdict = check(exercise, load(write(tmp_path / "wrapper.py", exercise, body)))
    if any(source.__module__.startswith("bertnp.learn.stubs") for source in exercise.source.values()):
        assert not verdict.ok  # a stub, which returns nothing
    else:
        assert not verdict.ok and verdict.mistake == "calls the library"


ROUNDABOUT = {
    "2.6": "from bertnp.gradcheck import check\nreturn check(f, lambda g, x: {{'x': backward(g, x)}}, {{'x': x}}).ok",
    "3.5": "return F.product({args}[:2]) if '{name}' == 'linear' else (*F.product_backward(dy, x, weight), dy.sum((0, "
    "1)))",
    "5.1": "return F.masked_softmax(x)",
    "5.8": "x = np.random.rand(2, 3)\nreturn np.allclose(softmax(x), F.softmax(x))",
    "7.6": "return F.gelu_feed_forward(x.reshape(-1, 1), np.eye(1), np.zeros(1), np.eye(1))[0].reshape(x.shape)",
    "9.6": "return F.attention(np.ones((*x.shape[:-1], 1)), x[..., None], x[..., None], mask)[1]",
    "1.1": "from bertnp.tokenization.wordpiece import WordPiece\n"
           "return WordPiece({{p: i for i, p in enumerate(['[UNK]', *pieces])}}).cut(word).tokens",
    "1.2": "from bertnp.learn.registry.words import walk\nreturn walk(word, pieces)",
    "16.7": "from bertnp.learn.registry.training import span_right\nreturn span_right(logits, starts, ends)",
    "12.3": "import bertnp.gradcheck.blocks as blocks\nreturn blocks.tied_table_backward(dy, ids, table)",
    "20.2": "z = np.random.rand(5, 3)\ny = np.array([0, 1, -100, 2, 1])\n"
            "return abs(cross_entropy(z, y) - F.cross_entropy(z, y)[0]) < 1e-9",
}  # fmt: skip


@pytest.mark.parametrize("number", ROUNDABOUT)
def test_other_functions_that_do_the_work_are_refused(number, tmp_path):
    path = write(tmp_path / "roundabout.py", EXERCISES[number], ROUNDABOUT[number].replace("{args}[:2]", "x, weight"))
    verdict = check(EXERCISES[number], load(path))
    assert not verdict.ok and verdict.mistake == "calls the library", verdict.text


@by_exercise
def test_foreign_libraries_are_refused(exercise, tmp_path):
    verdict = check(exercise, load(write(tmp_path / "foreign.py", exercise, "return __import__('torch')")))
    assert not verdict.ok and verdict.mistake == "foreign library"
    with pytest.raises(BrokenFile):
        load(write(tmp_path / "open.py", exercise, "import torch"))


@pytest.mark.parametrize("subject", [s for s in SUBJECTS.values() if s.forward is None], ids=lambda s: s.name)
def test_knowing_the_stored_outputs_by_heart_does_not_help(subject):
    exercise = next(e for e in EXERCISES.values() if getattr(e.judge, "subject", None) is subject)
    by_heart = {repr(subject.arguments(draw)): subject.right(draw) for draw in subject.draws}
    right = getattr(answers, subject.name)

    def forward(*args, **kwargs):
        arguments = inspect.signature(right).bind(*args, **kwargs).arguments
        known = by_heart.get(repr({name: arguments[name] for name in subject.arguments(next(iter(subject.draws)))}))
        if known is not None:
            return known if len(known) > 1 else known[0]
        return zero(right(*args, **kwargs))

    forward.__signature__ = inspect.signature(right)
    assert not exercise.judge({**solution(exercise), subject.name: forward}, 5).ok


# mistakes are called by their names


PLANTED = [
    (exercise, mistake)
    for exercise in EXERCISES.values()
    for name in getattr(exercise.judge, "formulas", ())
    for mistake in mistakes(name)
    if (name if mistake.part == "forward" else f"{name}_backward") in exercise.functions
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@by_exercise
def test_planted_mistakes_are_named(exercise):
    """The judge's own word: a planted mistake may call the library, which a student's function may not."""
    for mistake in (mistake for other, mistake in PLANTED if other is exercise):
        name = mistake.formula if mistake.part == "forward" else f"{mistake.formula}_backward"
        verdict = exercise.judge({**solution(exercise), name: mistake.plant()}, 3)
        assert not verdict.ok and verdict.score < 1, mistake
        assert mistake.sentence in verdict.sentence or mistake.label == verdict.mistake, (mistake, verdict.sentence)


def test_there_are_planted_mistakes():
    assert len(PLANTED) > 180 and len({exercise.number for exercise, _ in PLANTED}) > 20


@by_subject
def test_stored_mistakes_are_named(subject):
    exercise = next(e for e in EXERCISES.values() if getattr(e.judge, "subject", None) is subject)
    for part, known in subject.known.items():
        name = subject.name if part == "forward" else f"{subject.name}_backward"
        for label, sentence in known.items():
            verdict = exercise.judge({**solution(exercise), name: answers.WRONG[name][label]}, 3)
            assert not verdict.ok and verdict.score < 1, label
            assert (verdict.mistake, verdict.sentence) == (label, sentence)


@pytest.mark.parametrize("name", answers.SLIPS)
def test_common_slips_are_named(name):
    """Those that a judge of properties knows: the label, and a sentence that says more than that it is wrong."""
    exercise = exercise_of(name)
    for label, function in answers.SLIPS[name].items():
        verdict = exercise.judge({name: function}, 3)
        assert not verdict.ok and verdict.score < 1 and verdict.mistake == label, (label, verdict.text)
        assert len(verdict.sentence) > 20 and verdict.mistake not in ("", "wrong values")


def test_every_wrong_answer_is_known():
    named = {name: set() for name in answers.WRONG}
    for subject in subjects():
        for part, known in subject.known.items():
            named[subject.name if part == "forward" else f"{subject.name}_backward"] |= set(known)
    assert named == {name: set(wrong) for name, wrong in answers.WRONG.items()}


def test_stored_numbers_are_up_to_date():
    now = expected()
    assert now.keys() == stored().keys(), "run tests/learn/make_expected.py"
    for name, values in now.items():
        assert same_numbers(np.asarray(values, float), stored()[name]), name


# what a student reads


def squeezed(text):
    return re.sub(r"\s+", "", text)


def lines_of(function):
    """The statements of a function without its docstring, and what they assign or return."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)).partition("\n@")[0])
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.Return, ast.AugAssign)) and node.value is not None:
            yield ast.unparse(node)
            yield ast.unparse(node.value)


@by_exercise
def test_hints_are_three_and_never_the_solution(exercise):
    assert len(exercise.hints) == len(set(exercise.hints)) == 3 and all(len(hint) > 20 for hint in exercise.hints)
    told = squeezed(" ".join(exercise.hints))
    for name in exercise.functions:
        source = textbook_of(exercise.source[name])
        bodies = [getattr(answers, name, None), None if source.__module__.startswith("bertnp.learn.stubs") else source]
        for line in (line for body in bodies if body is not None for line in lines_of(body)):
            assert len(squeezed(line)) < 24 or squeezed(line) not in told, line


@by_exercise
def test_texts_are_complete(exercise):
    assert 1 <= exercise.points <= 5 and exercise.title and exercise.task.endswith((".", ")"))
    assert len(exercise.title) <= 48
    assert all(source.__doc__ for source in exercise.source.values())
    assert tuple(exercise.source) == exercise.functions
    assert exercise.title in stub(exercise)


@by_exercise
def test_what_is_needed_comes_before(exercise):
    for number in exercise.needs:
        assert number in EXERCISES and EXERCISES[number].place < exercise.place


def test_numbers_are_those_of_the_chapters():
    """Each coded exercise is told of by the paragraph that bears its number, and no other is."""
    there = {}
    for chapter in chapters():
        text = chapter.path.read_text(encoding="utf-8")
        paragraphs = re.findall(r"^# \*\*(\d+\.\d+)\*\*(.*?)(?=^#\n|\Z)", text, re.M | re.S)
        for number, paragraph in paragraphs:
            told = re.findall(r"bertnp learn check (\d+\.\d+)", paragraph)
            assert told in ([], [number]), number
            there[number] = bool(told)
        assert len(re.findall(r"bertnp learn check \d", text)) == sum(there[number] for number, _ in paragraphs)
    known = {chapter.number for chapter in chapters()}
    assert [number for number, told in there.items() if told] == [
        number for number, exercise in EXERCISES.items() if exercise.chapter in known
    ]


def test_there_is_enough_of_each_kind():
    early = [exercise for exercise in EXERCISES.values() if exercise.chapter <= 18]
    assert len(early) >= 40 and {exercise.chapter for exercise in early} == set(range(1, 19))
    unanswered = [subject for subject in subjects() if subject.forward is None]
    assert len(unanswered) >= 10 and all(len(subject.known["forward"]) for subject in unanswered)
    assert {exercise.points for exercise in early} == {1, 2, 3, 4, 5}


# seeds


@by_exercise
def test_another_seed_gives_other_numbers(exercise):
    def seen(seed):
        found = []

        def note(function):
            def noting(*args, **kwargs):
                for value in (*args, *kwargs.values()):
                    if isinstance(value, np.ndarray):
                        found.append(value.tobytes())
                    elif isinstance(value, (str, int, float, list, set, dict)):
                        found.append(repr(sorted(value) if isinstance(value, set) else value))
                return function(*args, **kwargs)

            return noting

        check(exercise, in_its_place(exercise, note), seed)
        return found

    if exercise.number in ITS_OWN_DATA | {"5.8", "11.6", "20.2"}:  # what they get are random generators, or functions
        return
    first = seen(1)
    assert first and first != seen(2)
