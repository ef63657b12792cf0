"""Questions about paragraphs, from SQuAD's JSON files (versions 1.1 and 2.0), as token ids with the answers' places.

Rajpurkar et al. 2016 and 2018.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertnp.data.answers import all_answers, find_answers
from bertnp.data.encoded import EncodedTexts
from bertnp.data.windows import shortened, text_windows

LONGEST_QUESTION = 64  # tokens: longer questions are cut, as in Devlin et al.'s run_squad.py


@dataclass
class Questions:
    """Questions, each with the paragraph it is about and, where they are known, its answers.

    answers: for each question [(text, character where it starts), ...], empty where there is no answer; or None
    paragraphs: the number of the paragraph each question is about   source: the file's name, for messages
    notes: what was repaired or is remarkable, in words, with counts
    """

    ids: list
    questions: list
    contexts: list
    answers: list | None = None
    paragraphs: list | None = None
    source: str = "the data"
    notes: list = field(default_factory=list)

    def __len__(self):
        return len(self.questions)

    def select(self, rows):
        """The same with these questions only, in this order."""
        columns = (self.ids, self.questions, self.contexts, self.answers, self.paragraphs)
        return Questions(*(None if c is None else [c[row] for row in rows] for c in columns), self.source)

    @property
    def unanswerable(self):
        """How many questions have no answer in their paragraph."""
        return sum(not answers for answers in self.answers)

    def gold(self):
        """{id: [texts of the answers]}, as `span_scores` takes it."""
        return {i: [text for text, _ in answers] for i, answers in zip(self.ids, self.answers, strict=True)}


def read_questions(path, labelled=True):
    """Read a JSON file of SQuAD, version 1.1 or 2.0: `Questions`.

    labelled: whether to read answers, too

    An answer that is not where the file says, but elsewhere in its paragraph, is put there: where it is nearest. That,
    questions about empty paragraphs, questions without an id and answers to what is said to be impossible are noted,
    with their number. Raises FileNotFoundError, or ValueError naming file and question: no such JSON, an answer that
    isn't in its paragraph or isn't there at all, an id that stands there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    found = Questions([], [], [], [] if labelled else None, [], str(path))
    empty, nameless, impossible = 0, [], []
    for number, paragraph in enumerate(_paragraphs(data, path)):
        context = _entry(paragraph, "context", str, f"{path}, paragraph {number + 1}")
        questions = _entry(paragraph, "qas", list, f"{path}, paragraph {number + 1}")
        empty += not context.strip()
        for place, question in enumerate(questions, 1):
            where = f"{path}, paragraph {number + 1}, question {place}"
            _add_question(found, question, context, number, where, labelled)
            if question.get("id") is None:
                nameless.append(found.ids[-1])
            if labelled and question.get("is_impossible") and question.get("answers"):
                impossible.append(found.ids[-1])
    check_ids(found)
    if not found.questions:
        raise ValueError(f"{path}: there are no questions in it")
    if empty:
        found.notes.append(f"{path}: {empty:,} empty paragraphs: questions about them have no answer")
    if nameless:
        found.notes.append(f"{path}: {len(nameless):,} questions without an id; they got one (first: {nameless[0]!r})")
    if impossible:
        found.notes.append(f"{path}: {len(impossible):,} questions have answers though is_impossible says that there "
                           f"is none (first: {impossible[0]!r}); they were read as without answer")  # fmt: skip
    if labelled:
        place_answers(found)
    return found


def _paragraphs(data, path):
    """The paragraphs of all articles."""
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list):
        raise ValueError(f'{path}: not a file of SQuAD: expected {{"data": [{{"paragraphs": [...]}}, ...]}}')
    for number, article in enumerate(articles, 1):
        yield from _entry(article, "paragraphs", list, f"{path}, article {number}")


def _entry(record, name, kind, where):
    """record[name], of the kind it has to be; ValueError naming the place otherwise."""
    if not isinstance(record, dict) or not isinstance(record.get(name), kind):
        found = record.get(name) if isinstance(record, dict) else record
        what = {str: "a text", list: "a list"}[kind]
        raise ValueError(f"{where}: expected {what} as {name!r}, got {found!r:.60}")
    return record[name]


def _add_question(found, record, context, paragraph, where, labelled):
    question = _entry(record, "question", str, where)
    if not question.strip():
        raise ValueError(f"{where}: the question is blank")
    identity = record.get("id")
    found.ids.append(f"{paragraph + 1}-{len(found.ids) + 1}" if identity is None else str(identity))
    found.questions.append(question.strip())
    found.contexts.append(context)
    found.paragraphs.append(paragraph)
    if labelled:
        answers = [] if record.get("is_impossible") else _entry(record, "answers", list, where)
        if not (answers or record.get("is_impossible")):
            raise ValueError(f'{where}: no answers; a question without an answer has "is_impossible": true')
        found.answers.append([(_entry(a, "text", str, where), a.get("answer_start")) for a in answers])


def check_ids(questions):
    """ValueError where an id stands for two questions: predictions go by id."""
    twice = [(identity, count) for identity, count in Counter(questions.ids).items() if count > 1]
    if twice:
        identity, count = twice[0]
        others = f", and {len(twice) - 1:,} more ids too" if len(twice) > 1 else ""
        raise ValueError(f"{questions.source}: {count} questions have the id {identity!r}{others}; give each its own")


def place_answers(questions):
    """Put each answer, in place, where its text is in the paragraph; note how many were put right.

    ValueError for answers whose text isn't there at all.
    """
    moved, missing = [], []
    for row, answers in enumerate(questions.answers):
        context = questions.contexts[row]
        for number, (text, start) in enumerate(answers):
            place = nearest_place(text, start, context)
            if place is None:
                missing.append((row, text))
            elif place != start:
                moved.append(row)
                answers[number] = (text, place)
    if missing:
        row, text = missing[0]
        others = f" ({len(missing):,} such answers in all)" if len(missing) > 1 else ""
        raise ValueError(f"{questions.source}, question {questions.ids[row]!r}: the answer {text[:60]!r} is not in its "
                         f"paragraph{others}")  # fmt: skip
    if moved:
        questions.notes.append(f"{questions.source}: {len(moved):,} answers were not where the file says, but "
                               f"elsewhere in the paragraph (first: question {questions.ids[moved[0]]!r}); they were "
                               "put there")  # fmt: skip


def nearest_place(text, start, context):
    """The place in `context`, of those where `text` stands, that is nearest to `start`; None if there is none."""
    if not text.strip():
        return None
    start = start if isinstance(start, int) and start >= 0 else 0
    if context.startswith(text, start):
        return start
    before, after = context.rfind(text, 0, start + len(text)), context.find(text, start)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: abs(place - start), default=None)


class EncodedQuestions(EncodedTexts):
    """Windows [CLS] question [SEP] a stretch of the paragraph [SEP].

    windows: the rows as the tokenizer's Encodings   contexts: (questions,) the paragraphs
    starts, ends: (n,) the tokens an answer starts with and ends with; 0, the [CLS], in windows that don't hold it whole
    cut: the numbers of questions that were too long
    unheld: the numbers of questions with an answer that no window holds whole
    """

    by_token = True

    def __init__(self, windows, contexts, starts=None, ends=None, pad_token_id=0, texts=None, cut=(), unheld=()):
        super().__init__([w.ids for w in windows], [w.type_ids for w in windows], None, pad_token_id, texts)
        self.windows = windows
        self.contexts = contexts
        self.starts = starts
        self.ends = ends
        self.cut = cut
        self.unheld = unheld
        self.labels = None if starts is None else np.stack([starts, ends], axis=-1)  # (n, 2)

    def batch(self, rows):
        batch = self.inputs(rows)
        if self.starts is not None:
            batch |= {"start_positions": self.starts[rows], "end_positions": self.ends[rows]}
        return batch

    def to_train(self):
        """The windows of all questions but the `unheld` ones, of which a model would learn that they have no answer.

        ValueError where none is left.
        """
        rows = np.flatnonzero(~np.isin(self.texts, self.unheld))
        if not len(rows):
            raise ValueError("no window holds an answer whole: there is nothing to learn (see --max-length)")
        windows, places = [self.windows[row] for row in rows], (self.starts[rows], self.ends[rows])
        return EncodedQuestions(windows, self.contexts, *places, self.pad_token_id, self.texts[rows], self.cut,
                                self.unheld)  # fmt: skip

    def merge(self, logits, top_k=1, max_answer_length=30, no_answer=False):
        """For each question the best answers, over all its windows: see `find_answers`.

        logits: (T, 2) for start and end, the tokens of all rows, one row after the other
        """
        return [find_answers(*one, top_k, max_answer_length, no_answer) for one in self.by_question(logits)]

    def judge(self, logits, max_answer_length=30):
        """For each question its best answer, None in an empty paragraph, and the score of there being none."""
        for one in self.by_question(logits):
            answers, none = all_answers(*one, 1, max_answer_length)
            yield (answers[0] if answers else None), none

    def by_question(self, logits):
        """For each question its windows, its paragraph and the logits of the windows."""
        rows = np.split(logits, np.cumsum(self.lengths)[:-1])
        ends = np.searchsorted(self.texts, np.arange(len(self.contexts) + 1))
        for first, last, context in zip(ends, ends[1:], self.contexts, strict=False):
            yield self.windows[first:last], context, rows[first:last]


def encode_questions(tokenizer, questions, contexts, answers=None, max_length=384, stride=128):
    """Questions about paragraphs as `EncodedQuestions`: windows of at most max_length tokens over the paragraphs.

    answers: for each question [(text, start), ...], of which the first is learned; None: nothing is
    stride: tokens that neighbouring windows share

    Questions are cut to 64 tokens and to half the window. A window that does not hold the answer whole has none.
    """
    questions, cut = shortened(tokenizer, list(questions), min(LONGEST_QUESTION, (max_length - 3) // 2))
    windows, owners = text_windows(tokenizer, questions, list(contexts), max_length, stride)
    starts, ends, unheld = None, None, []
    if answers is not None:
        places = [answer_tokens(window, answers[text][:1]) for window, text in zip(windows, owners, strict=True)]
        starts, ends = np.array(places, np.int64).reshape(-1, 2).T
        held = set(owners[ends > 0].tolist())
        unheld = [text for text, given in enumerate(answers) if given and text not in held]
    return EncodedQuestions(windows, list(contexts), starts, ends, tokenizer.pad_token_id, owners, cut, unheld)


def answer_tokens(window, answers):
    """The first and the last token of an answer, [(text, start)], in a window; (0, 0) where some of it is missing,
    or where none of its characters is in a token.

    The answer starts in the last token that begins no later than it, and ends in the first that ends no sooner.
    """
    places = [place for place, sequence in enumerate(window.sequence_ids) if sequence == 1]
    if not (answers and places):
        return 0, 0
    text, start = answers[0]
    stop = start + len(text)
    offsets = window.offsets
    if offsets[places[0]][0] > start or offsets[places[-1]][1] < stop:
        return 0, 0
    first = max(place for place in places if offsets[place][0] <= start)
    last = min(place for place in places if offsets[place][1] >= stop)
    seen = any(offsets[place][0] < stop and offsets[place][1] > start for place in range(first, last + 1))
    return (first, last) if seen else (0, 0)
