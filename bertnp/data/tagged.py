"""Sentences with a tag for every word, from CoNLL files, as token ids.

A CoNLL file has a word and its tag on each line, with a tab or spaces (and maybe other columns) between them, and a
blank line after each sentence. In the scheme BIO a tag is O, outside, or B-TYPE or I-TYPE: the first word of an
entity, or a later one.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertnp.data.batches import IGNORED
from bertnp.data.encoded import EncodedTexts
from bertnp.data.tables import decode_lines
from bertnp.data.windows import most_context, text_windows, window_span

OUTSIDE = "O"
DOCUMENT_START = "-DOCSTART-"


@dataclass
class TaggedSentences:
    """Sentences as lists of words, with their tags.

    words: [[word, ...], ...]   tags: the same with tags, or None   lines: of each sentence's first word
    source: the file's name, for messages   notes: what was repaired, in words, with counts
    """

    words: list
    tags: list | None = None
    lines: list | None = None
    source: str = "the data"
    notes: list = field(default_factory=list)

    def __len__(self):
        return len(self.words)

    def select(self, rows):
        """The same with these sentences only, in this order."""
        words, tags, lines = (
            None if values is None else [values[row] for row in rows] for values in (self.words, self.tags, self.lines)
        )
        return TaggedSentences(words, tags, lines, self.source)

    @property
    def is_bio(self):
        """Whether the tags name entities, B- and I-, rather than a class for each word."""
        return any(tag.startswith(("B-", "I-")) for tag in self.tag_names())

    def tag_names(self):
        """The different tags in order, O first."""
        return sorted({tag for tags in self.tags for tag in tags}, key=lambda tag: (tag != OUTSIDE, tag))

    def classes(self, names):
        """The tags as class numbers, places in `names`. ValueError for tags that aren't there."""
        numbers = {name: number for number, name in enumerate(names)}
        unknown = Counter(tag for tags in self.tags for tag in tags if tag not in numbers)
        if unknown:
            tag = next(iter(unknown))
            row = next(row for row, tags in enumerate(self.tags) if tag in tags)
            line = "" if self.lines is None else f", line {self.lines[row] + self.tags[row].index(tag)}"
            known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise ValueError(f"{self.source}{line}: unknown tag {tag!r} ({unknown.total():,} words with tags that the "
                             f"model does not know); known: {known}")  # fmt: skip
        return [np.array([numbers[tag] for tag in tags], np.int64) for tags in self.tags]


def read_tagged(path, word=1, tag=None, labelled=True):
    """Read a CoNLL file: `TaggedSentences`, in the scheme BIO, or with a class for each word where no tag is B- or I-.

    word, tag: columns, counted from 1; tag None: the last column of each line
    labelled: whether to read tags, too

    An I- that follows nothing of its type becomes a B-; how often is noted.
    Raises FileNotFoundError, or ValueError naming file and line: no UTF-8, lines without a tag, tags outside BIO, or
    where most lines have a text in place of a word.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    lines = decode_lines(path.read_bytes(), str(path))
    tabs = any("\t" in line for line in lines)
    found = TaggedSentences([], [] if labelled else None, [], str(path))
    short, sentence = [], None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            sentence = None
            continue
        cells = [cell.strip() for cell in line.split("\t")] if tabs else line.split()
        if cells[0] == DOCUMENT_START:
            sentence = None
            continue
        place = len(cells) if tag is None else tag
        if labelled and (place < 2 and tag is None or place > len(cells) or not cells[place - 1]) or (
            word > len(cells) or not cells[word - 1]
        ):  # fmt: skip
            short.append((number, line))
            continue
        if sentence is None:
            sentence = [], []
            found.words.append(sentence[0])
            found.lines.append(number)
            if labelled:
                found.tags.append(sentence[1])
        sentence[0].append(cells[word - 1])
        sentence[1].append(cells[place - 1] if labelled else None)
    if short:
        number, line = short[0]
        others = f" ({len(short):,} such lines in all)" if len(short) > 1 else ""
        what = "a word without a tag" if labelled else f"there is no column {word}"
        raise ValueError(f"{path}, line {number}: {what}: {line.strip()[:60]!r}{others}")
    if not found.words:
        raise ValueError(f"{path}: there are no sentences in it")
    words = [word for words in found.words for word in words]
    texts = [word for word in words if len(word.split()) > 1]
    if 2 * len(texts) > len(words):
        raise ValueError(f"{path}: expected a word and its tag on each line (CoNLL), but {len(texts):,} of "
                         f"{len(words):,} lines have a text in place of a word: {texts[0][:60]!r}, ...")  # fmt: skip
    if labelled:
        check_scheme(found)
    return found


def check_scheme(sentences):
    """Repair, in place, what is not quite BIO, and note it; ValueError for tags outside the scheme."""
    if not sentences.is_bio:
        return
    outside = [
        (row, place)
        for row, tags in enumerate(sentences.tags)
        for place, tag in enumerate(tags)
        if tag != OUTSIDE and not (tag.startswith(("B-", "I-")) and len(tag) > 2)
    ]
    if outside:
        row, place = outside[0]
        others = f" ({len(outside):,} such tags in all)" if len(outside) > 1 else ""
        line = "" if sentences.lines is None else f", line {sentences.lines[row] + place}"
        raise ValueError(f"{sentences.source}{line}: the tag {sentences.tags[row][place]!r} is not of the scheme BIO: "
                         f"expected O, B-TYPE or I-TYPE{others}")  # fmt: skip
    count = first = 0
    for row, tags in enumerate(sentences.tags):
        repaired = repair_bio(tags)
        wrong = [place for place, tag in enumerate(tags) if tag != repaired[place]]
        if wrong and not count and sentences.lines is not None:
            first = sentences.lines[row] + wrong[0]
        count += len(wrong)
        sentences.tags[row] = repaired
    if count:
        where = f", the first in line {first}" if first else ""
        sentences.notes.append(f"{sentences.source}: {count:,} I- tags without a B- before them were read as B-{where}")


def repair_bio(tags):
    """Tags in which an I- that follows no B- or I- of its type is a B-, as conlleval and seqeval read it.

    ["I-PER", "I-PER", "I-LOC"] -> ["B-PER", "I-PER", "B-LOC"]
    """
    repaired, before = [], OUTSIDE
    for tag in tags:
        if tag.startswith("I-") and before[2:] != tag[2:]:
            tag = "B-" + tag[2:]
        repaired.append(tag)
        before = tag
    return repaired


class EncodedTokens(EncodedTexts):
    """Windows over sentences of words; the first piece of a word stands for it, in the window with most context.

    labels: for each row (S,) integers: the class of each word at its first piece, and -100 everywhere else
    words: for each row (places, numbers): the tokens that stand for words, and which words of the sentence those are
    sizes: (texts,) how many words the sentences have
    """

    by_token = True

    def __init__(self, input_ids, token_type_ids, words, sizes, labels=None, pad_token_id=0, texts=None):
        super().__init__(input_ids, token_type_ids, None, pad_token_id, texts)
        self.words = words
        self.sizes = sizes
        self.labels = labels

    def batch(self, rows):
        batch = self.inputs(rows)
        if self.labels is not None:
            batch["labels"] = np.full(batch["input_ids"].shape, IGNORED, np.int64)
            for b, row in enumerate(rows):
                batch["labels"][b, : self.lengths[row]] = self.labels[row]
        return batch

    def merge(self, logits):
        """The logits of each sentence's words: a list of (words, C); NaN for a word that has no piece.

        logits: (T, C), the tokens of all rows, one row after the other
        """
        merged = [np.full((size, logits.shape[-1]), np.nan, logits.dtype) for size in self.sizes]
        starts = np.cumsum(self.lengths) - self.lengths
        for text, start, (places, numbers) in zip(self.texts, starts, self.words, strict=True):
            merged[text][numbers] = logits[start + places]
        return merged

    @property
    def wordless(self):
        """How many words have no piece, such as those of invisible characters alone."""
        return int(sum(self.sizes)) - sum(len(numbers) for _, numbers in self.words)


def encode_words(tokenizer, sentences, labels=None, max_length=None, stride=0):
    """Sentences of words as `EncodedTokens`: windows of at most max_length tokens, neighbours sharing `stride` tokens.

    sentences: [[word, ...], ...]   labels: for each sentence (words,) class numbers, or None
    """
    rows, owners = text_windows(tokenizer, sentences, None, max_length, stride)
    words, row_labels = [None] * len(rows), [None] * len(rows)
    ends = np.searchsorted(owners, np.arange(len(sentences) + 1))
    for text in range(len(sentences)):
        mine = range(ends[text], ends[text + 1])
        for row, (places, numbers) in zip(mine, _first_pieces([rows[row] for row in mine]), strict=True):
            words[row] = places, numbers
            if labels is not None:
                row_labels[row] = np.full(len(rows[row]), IGNORED, np.int64)
                row_labels[row][places] = labels[text][numbers]
    ids, types = [row.ids for row in rows], [row.type_ids for row in rows]
    sizes = np.array([len(sentence) for sentence in sentences], np.int64)
    labels = None if labels is None else row_labels
    return EncodedTokens(ids, types, words, sizes, labels, tokenizer.pad_token_id, owners)


def _first_pieces(windows):
    """Of each window of one sentence (places, numbers): the first pieces that it has to judge, and whose they are.

    Places count from the [CLS].
    """
    text = next(part.text for part in windows[0].parts if part.sequence == 0)
    numbers = np.array(text.details[2], np.int64)  # the word of each token of the sentence
    first = np.flatnonzero(np.diff(numbers, prepend=-1))  # (words with a piece,)
    spans = [window_span(window, 0) for window in windows]
    owner = most_context(spans)[first] if len(numbers) else np.zeros(0, np.int64)
    for number, (start, _) in enumerate(spans):
        mine = first[owner == number]
        yield 1 + mine - start, numbers[mine]


def tagged_as_conll(words, tags):
    """The text of a CoNLL file with these sentences."""
    sentences = ("".join(f"{w}\t{t}\n" for w, t in zip(*both, strict=True)) for both in zip(words, tags, strict=True))
    return "\n".join(sentences)
