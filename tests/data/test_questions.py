import json

import numpy as np
import pytest
from slow_answers import slow_answers
from tiny_model import tiny_tokenizer

from bertnp.data.answers import best_spans, find_answers
from bertnp.data.questions import encode_questions, nearest_place, read_questions

CONTEXT = "the film was lovely , it was very sweet and the song was dull , the book was poor and awful ."


def squad(path, *paragraphs):
    """A file of SQuAD with these paragraphs: (context, [question, ...]) each, questions as dictionaries."""
    data = {"data": [{"paragraphs": [{"context": context, "qas": qas} for context, qas in paragraphs]}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def question(identity, text, *answers, **more):
    return {"id": identity, "question": text, "answers": [{"text": a, "answer_start": s} for a, s in answers], **more}


def test_questions_are_read_with_their_paragraphs(tmp_path):
    file = squad(
        tmp_path / "q.json",
        (CONTEXT, [question("a", "was it lovely ?", ("lovely", 13), ("very sweet", 29)),
                   question("b", "what was it ?", is_impossible=True)]),
        ("a day .", [question(7, "is it a day ?", ("day", 2))]),
    )  # fmt: skip
    found = read_questions(file)
    assert found.ids == ["a", "b", "7"] and found.paragraphs == [0, 0, 1] and found.contexts[2] == "a day ."
    assert found.answers == [[("lovely", 13), ("very sweet", 29)], [], [("day", 2)]]
    assert found.unanswerable == 1 and found.notes == []
    assert found.gold() == {"a": ["lovely", "very sweet"], "b": [], "7": ["day"]}
    assert found.select([2, 0]).ids == ["7", "a"]
    assert read_questions(file, labelled=False).answers is None


def test_answers_elsewhere_are_put_right_and_counted(tmp_path):
    file = squad(tmp_path / "q.json", (CONTEXT, [question("a", "what ?", ("was", 40)), question("b", "?", ("was", 9)),
                                                 question("c", "?", ("dull", -3))]))  # fmt: skip
    found = read_questions(file)
    places = [answers[0][1] for answers in found.answers]
    assert places == [53, 9, 57] and [CONTEXT[p : p + 3] for p in places] == ["was", "was", "dul"]
    assert found.notes == [f"{file}: 2 answers were not where the file says, but elsewhere in the paragraph "
                           "(first: question 'a'); they were put there"]  # fmt: skip
    assert nearest_place("was", 12, CONTEXT) == 9 and nearest_place("was", 30, CONTEXT) == 25
    assert nearest_place("was", None, CONTEXT) == 9 and nearest_place(" ", 3, CONTEXT) is None


def test_an_empty_paragraph_is_mentioned(tmp_path):
    file = squad(tmp_path / "q.json", (" ", [question("a", "what ?", is_impossible=True)]))
    found = read_questions(file)
    assert found.notes == [f"{file}: 1 empty paragraphs: questions about them have no answer"]
    encoded = encode_questions(tiny_tokenizer(), found.questions, found.contexts, found.answers, 24, 4)
    assert len(encoded) == 1 and (encoded.starts, encoded.ends) == ([0], [0])
    answers = encoded.merge(np.ones((encoded.lengths.sum(), 2)), no_answer=True)
    assert answers == [[{"score": 1.0, "start": 0, "end": 0, "answer": ""}]]
    assert encoded.merge(np.ones((encoded.lengths.sum(), 2))) == [[]]


def test_made_up_ids_and_answers_to_the_impossible_are_mentioned(tmp_path):
    questions = [question("a", "what ?", ("was", 9)), question(None, "?", ("was", 9)), {"question": "?", "answers": [],
                 "is_impossible": True}, question("d", "?", ("film", 4), is_impossible=True)]  # fmt: skip
    file = squad(tmp_path / "q.json", (CONTEXT, questions))
    found = read_questions(file)
    assert found.ids == ["a", "1-2", "1-3", "d"] and found.answers == [[("was", 9)], [("was", 9)], [], []]
    nameless = f"{file}: 2 questions without an id; they got one (first: '1-2')"
    assert found.notes == [nameless, f"{file}: 1 questions have answers though is_impossible says that there is none "
                                     "(first: 'd'); they were read as without answer"]  # fmt: skip
    assert read_questions(file, labelled=False).notes == [nameless]


@pytest.mark.parametrize(
    ("paragraphs", "message"),
    [
        ([(CONTEXT, [question("a", "?", ("green", 4)), question("b", "?", ("red", 4))])],
         "question 'a': the answer 'green' is not in its paragraph (2 such answers in all)"),
        ([(CONTEXT, [question("a", "?", ("was", 9)), question("a", "?", ("was", 9))])],
         "2 questions have the id 'a'; give each its own"),
        ([(CONTEXT, [question("a", "?")])], "paragraph 1, question 1: no answers; a question without an answer has"),
        ([(CONTEXT, [question("a", "?", is_impossible=False)])], "question 1: no answers; a question without"),
        ([(CONTEXT, [question("a", " ", ("was", 9))])], "paragraph 1, question 1: the question is blank"),
        ([(CONTEXT, [{"id": "a", "answers": []}])], "question 1: expected a text as 'question', got None"),
        ([("", [question("a", "?", ("was", 9))])], "question 'a': the answer 'was' is not in its paragraph"),
        ([(None, [])], "paragraph 1: expected a text as 'context', got None"),
        ([(CONTEXT, [])], "there are no questions in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(tmp_path, paragraphs, message):
    with pytest.raises(ValueError) as error:
        read_questions(squad(tmp_path / "q.json", *paragraphs))
    assert message in str(error.value) and "q.json" in str(error.value)


@pytest.mark.parametrize(("content", "message"), [
    ("{", "not JSON"), ("[]", "not a file of SQuAD"), ('{"data": [{}]}', "expected a list as 'paragraphs', got None"),
])  # fmt: skip
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "q.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_questions(tmp_path / "q.json")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_questions(tmp_path / "no.json")


def test_windows_and_the_places_of_answers():
    """Each window that holds the answer whole points at it, the others at [CLS]."""
    tokenizer = tiny_tokenizer()
    answer = ("song was dull", CONTEXT.index("song"))
    encoded = encode_questions(tokenizer, ["was it dull ?"], [CONTEXT], [[answer]], max_length=16, stride=6)
    assert len(encoded) > 3 and (encoded.lengths <= 16).all() and (encoded.texts == 0).all()
    shown = []
    for row in range(len(encoded)):
        batch = encoded.batch([row])
        first, last = int(batch["start_positions"][0]), int(batch["end_positions"][0])
        ids = batch["input_ids"][0]
        shown.append(tokenizer.decode(ids[first : last + 1]))
        whole = "song was dull" in tokenizer.decode(ids)
        assert shown[-1] == ("song was dull" if whole else "[CLS]")
    assert "song was dull" in shown and "[CLS]" in shown


def test_questions_whose_answer_no_window_holds_are_not_trained_on():
    """One too long for any window, and one of characters that give no token; not what has no answer, or a short one."""
    answers = [[(CONTEXT[13:60], 13)], [("song", CONTEXT.index("song"))], [], [("\u200b", 9)]]
    contexts = [CONTEXT] * 3 + ["the film \u200b was lovely ."]
    encoded = encode_questions(tiny_tokenizer(), ["?"] * 4, contexts, answers, max_length=10, stride=3)
    assert encoded.unheld == [0, 3] and set(encoded.texts) == {0, 1, 2, 3}
    training = encoded.to_train()
    rows = np.flatnonzero(np.isin(encoded.texts, [1, 2]))
    assert len(training) == len(rows) and training.unheld == [0, 3]
    for row, before in enumerate(rows):
        batch, expected = training.batch([row]), encoded.batch([before])
        assert all((batch[name] == expected[name]).all() for name in expected)
    with pytest.raises(ValueError, match="no window holds an answer whole"):
        encode_questions(tiny_tokenizer(), ["?"], [CONTEXT], answers[:1], max_length=10, stride=3).to_train()
    assert encode_questions(tiny_tokenizer(), ["?"], [CONTEXT], answers[:1], max_length=32, stride=3).unheld == []


def test_long_questions_are_cut_and_strides_checked():
    tokenizer = tiny_tokenizer()
    encoded = encode_questions(tokenizer, ["very " * 40, "was it ?"], [CONTEXT] * 2, max_length=23, stride=5)
    assert encoded.cut == [0] and encoded.windows[0].sequence_ids.count(0) == 10
    of_the_first = [window for window, text in zip(encoded.windows, encoded.texts, strict=True) if text == 0]
    assert len({tuple(window.ids[:11]) for window in of_the_first}) == 1
    with pytest.raises(ValueError, match="stride=10 must be smaller than the 10 tokens of a text that fit"):
        encode_questions(tokenizer, ["very " * 40], [CONTEXT], None, max_length=23, stride=10)


@pytest.mark.parametrize(("top_k", "length", "no_answer"), [(1, 15, False), (3, 2, True), (7, 1, False), (30, 4, True)])
def test_answers_are_those_of_the_slow_search(top_k, length, no_answer):
    tokenizer, rng = tiny_tokenizer(), np.random.default_rng(top_k)
    contexts = [CONTEXT, "sweetly , lovelys", CONTEXT.replace("the", "a"), "a day"]
    encoded = encode_questions(tokenizer, ["was it dull ?"] * 4, contexts, None, max_length=18, stride=5)
    logits = rng.normal(size=(encoded.lengths.sum(), 2)) * 3
    rows = np.split(logits, np.cumsum(encoded.lengths)[:-1])
    found = encoded.merge(logits, top_k, length, no_answer)
    assert len(found) == 4 and len(encoded) > 6
    for text, answers in enumerate(found):
        mine = np.flatnonzero(encoded.texts == text)
        expected = slow_answers([encoded.windows[i] for i in mine], contexts[text], [rows[i] for i in mine], top_k,
                                length, no_answer)  # fmt: skip
        assert [(a["answer"], a["start"], a["end"]) for a in answers] == [
            (a["answer"], a["start"], a["end"]) for a in expected
        ]
        np.testing.assert_allclose([a["score"] for a in answers], [a["score"] for a in expected], rtol=1e-12)
        padded = [np.concatenate([rows[i], np.full((3, 2), 50.0)]) for i in mine]  # what is beyond the tokens is unread
        windows = [encoded.windows[i] for i in mine]
        assert find_answers(windows, contexts[text], padded, top_k, length, no_answer) == answers


def test_an_answer_in_two_windows_adds_up():
    encoded = encode_questions(tiny_tokenizer(), ["?"], [CONTEXT], None, max_length=16, stride=11)
    token = encoded.windows[0].tokens.index("sweet")
    logits = [np.zeros((len(window), 2)) for window in encoded.windows]
    holding = [number for number, window in enumerate(encoded.windows) if "sweet" in window.tokens]
    for number in holding:
        logits[number][encoded.windows[number].tokens.index("sweet")] = 20.0
    (answer,) = find_answers(encoded.windows, CONTEXT, logits)
    assert len(holding) > 1 and answer["answer"] == "sweet" and token > 0
    assert answer["score"] == pytest.approx(len(holding), rel=1e-6)


def test_no_answer_is_the_least_of_the_windows():
    spans, null = best_spans(np.array([2.0, 1.0, 0.0]), np.array([1.0, 3.0, 0.0]), np.array([False, True, True]), 9, 2)
    start, end = np.exp([2.0, 1.0, 0.0]), np.exp([1.0, 3.0, 0.0])
    assert null == pytest.approx(start[0] * end[0] / (start.sum() * end.sum()))
    assert [(a, b) for a, b, _ in spans] == [(1, 1), (1, 2), (2, 2)]
    assert spans[0][2] == pytest.approx(start[1] * end[1] / (start.sum() * end.sum()))


def test_of_several_windows_the_surest_says_that_there_is_an_answer():
    encoded = encode_questions(tiny_tokenizer(), ["?"], [CONTEXT], None, max_length=16, stride=3)
    rows = [np.zeros((length, 2)) for length in encoded.lengths]
    rows[0][3] = 9.0  # an answer, where the last window has none
    (answer, none), *others = encoded.judge(np.concatenate(rows))
    n = int(encoded.lengths[0]) - 3  # the [CLS] and the tokens of the paragraph
    total = n - 1 + np.exp(9.0)
    assert len(rows) > 2 and not others and answer["answer"] == "the"
    assert none == pytest.approx(1 / total**2) and answer["score"] == pytest.approx(np.exp(18.0) / total**2, rel=0.05)
    (found,) = encoded.merge(np.concatenate(rows), top_k=500, no_answer=True)
    assert next(a for a in found if not a["answer"])["score"] == none
