"""Labelled texts from TSV, CSV and JSON-lines files."""

import csv
import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
FORMATS = ("tsv", "csv", "jsonl")
ENDINGS = {".tsv": "tsv", ".tab": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
USUAL_TEXT = ("text", "sentence", "sentence1", "sentence_a", "premise", "question", "question1", "review")
USUAL_PAIR = ("text_pair", "pair", "sentence2", "sentence_b", "hypothesis", "answer", "question2")
USUAL_LABEL = ("label", "labels", "class", "category", "score", "target", "gold_label", "similarity")
USUAL_NAMES = frozenset((*USUAL_TEXT, *USUAL_PAIR, *USUAL_LABEL, "id", "idx", "index"))


@dataclass
class LabelledTexts:
    """Sentences or pairs with their labels, as they stand in a file.

    texts: the sentences   pairs: the second sentences, or None   labels: texts, as in the file, or None
    lines: the line of the file that each row begins on   source: the file's name, for messages
    columns: what the columns are called or numbered, by what they are: {"text": "sentence", "label": "label"}
    header: the header's line, or None where there is no header
    """

    texts: list
    labels: list | None = None
    pairs: list | None = None
    lines: list | None = None
    source: str = "the data"
    columns: dict = field(default_factory=dict)
    header: int | None = None

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, row):
        """(text, pair or None, label or None)"""
        return self.texts[row], self.pairs and self.pairs[row], self.labels and self.labels[row]

    def select(self, rows):
        """The same with these rows only, in this order."""
        parts = {
            name: None if values is None else [values[row] for row in rows]
            for name, values in (("labels", self.labels), ("pairs", self.pairs), ("lines", self.lines))
        }
        return LabelledTexts(
            [self.texts[row] for row in rows], **parts, source=self.source, columns=self.columns, header=self.header
        )

    def place(self, row):
        """Where a row stands, for messages: 'train.tsv, line 7'."""
        return f"{self.source}, " + (f"line {self.lines[row]}" if self.lines else f"row {row + 1}")

    def label_names(self):
        """The different labels in order: numbers by value, otherwise by their characters."""
        names = sorted(set(self.labels))
        return sorted(names, key=float) if all(is_number(name) for name in names) else names

    def classes(self, names):
        """The labels as class numbers, places in `names`: (n,) integers. ValueError for a label that isn't there."""
        numbers = {name: number for number, name in enumerate(names)}
        for row, label in enumerate(self.labels):
            if label not in numbers:
                known = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
                column = self.columns.get("label", "label")
                raise ValueError(f"{self.place(row)}, column {column!r}: unknown label {label!r}; known: {known}")
        return np.array([numbers[label] for label in self.labels], np.int64)

    def numbers(self):
        """The labels as numbers to predict: (n,) floats. ValueError for a label that is none."""
        for row, label in enumerate(self.labels):
            if not is_number(label):
                column = self.columns.get("label", "label")
                raise ValueError(f"{self.place(row)}, column {column!r}: expected a number, got {label!r}")
        return np.array([float(label) for label in self.labels], np.float64)

    def hold_out(self, fraction, seed=0):
        """Split into (the rest, a held-out part of round(fraction · n) rows), each in the file's order.

        Each label has its share in both: rows are shuffled by `seed`, sorted by label, and taken at even distances.
        """
        n, m = len(self), round(fraction * len(self))
        if not 0 < m < n:
            raise ValueError(f"holding out {fraction:g} of {n} rows leaves {n - m} to train on and {m} to evaluate on")
        shuffled = np.random.default_rng(seed).permutation(n)
        ranks = {label: rank for rank, label in enumerate(self.label_names())}
        by_label = sorted(shuffled.tolist(), key=lambda row: ranks[self.labels[row]])  # sorting keeps equals in order
        held_out = {by_label[int((i + 0.5) * n / m)] for i in range(m)}
        return self.select([row for row in range(n) if row not in held_out]), self.select(sorted(held_out))


def is_number(text):
    """Whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_table(
    file, text=None, pair=None, label=None, *, labelled=True, format=None, delimiter=None, header=None, quotes=None,
    source=None, several=False,
):  # fmt: skip
    """Read sentences (or pairs) and their labels from a file: `LabelledTexts`.

    file: a path, or the bytes of a file   source: what messages call it; None: the path
    text, pair, label: columns, by name or by number, counted from 1. The text and label columns may be left out where
      a header has a usual name for them (text, sentence, label, ...); without `pair` there are no second sentences
      pair True: a usual name
    labelled: whether to read labels, too   several: whether a label may be blank or, in JSON lines, a list
    format: tsv, csv or jsonl (an object on each line); None: by the file's ending, else by its look
    delimiter: one character; None: a tab for TSV, for CSV the one that cuts the first lines into equally many columns
    header: whether the first line names the columns; None: it does if columns are given by name, if it has usual
      names, or if the label in it is unlike all others
    quotes: whether "..." may surround a cell, and hold delimiters and line breaks; None: in CSV yes, in TSV no, where
      quotation marks are part of the text

    Raises FileNotFoundError, or ValueError naming the file, the line and the column: an empty file, bytes that are
    no UTF-8, a column that isn't there, rows of different lengths, a row without text or label.
    """
    if isinstance(file, bytes):
        data, source = file, source or "the data"
    else:
        path = Path(file)
        source = source or str(path)
        if path.is_dir():
            raise ValueError(f"{source} is a folder; expected a file")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {source}")
        data = path.read_bytes()
        format = format or ENDINGS.get(path.suffix.lower())
    lines = decode_lines(data, source)
    if not any(line.strip() for line in lines):
        raise ValueError(f"{source}: the file is empty")
    if format is None:
        format = guess_format(lines)
    if format not in FORMATS:
        raise ValueError(f"format: expected {', '.join(FORMATS)}, got {format!r}")
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"delimiter: expected one character, got {delimiter!r}")
    wanted = {"text": text, "pair": pair, "label": label}
    if format == "jsonl":
        return _from_json_lines(lines, source, wanted, labelled, several)
    if delimiter is None:
        delimiter = "\t" if format == "tsv" else guess_delimiter(lines)
    if quotes is None:
        quotes = format == "csv"
    rows = list(_quoted_rows(lines, delimiter, source) if quotes else _plain_rows(lines, delimiter))
    return _from_rows(rows, source, wanted, labelled, header, delimiter, several)


def decode_lines(data, source):
    """The lines of a UTF-8 file, without their ends (\\n or \\r\\n); blank ones at the end of the file left out.

    Raises ValueError naming the line where the bytes are no UTF-8.
    """
    lines = [decode_line(line, source, number) for number, line in enumerate(data.split(b"\n"), 1)]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def decode_line(line, source, number):
    """One line of bytes as text, without its end, and without the mark that some editors put before the first."""
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        wrong = f"byte {line[error.start]:#04x}"
        raise ValueError(f"{source}, line {number}: not UTF-8 ({wrong}); save the file as UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def guess_format(lines):
    """Objects in braces are JSON lines; a tab in the first line means TSV; the rest is CSV."""
    first = lines[0].lstrip()
    if first.startswith("{"):
        return "jsonl"
    return "tsv" if "\t" in first else "csv"


def guess_delimiter(lines, most=20):
    """The first of , ; tab | that cuts the first lines into equally many columns, more than one; else a comma."""
    for delimiter in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader(lines[:most], delimiter=delimiter)}
        except csv.Error:
            continue
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
    return ","


def _plain_rows(lines, delimiter):
    """(line number, cells) of each line."""
    for number, line in enumerate(lines, 1):
        yield number, line.split(delimiter)


def _quoted_rows(lines, delimiter, source):
    """(line number, cells) of each row, which "..." may spread over several lines."""
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=delimiter, strict=True)
    start = 1
    longest = csv.field_size_limit(2**31 - 1)  # texts may be longer than the 131,072 characters it is otherwise
    try:
        for cells in reader:
            yield start, cells or [""]  # the reader gives [] for a blank line
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{source}, line {start}: not readable as CSV ({error}): quotation marks?") from None
    finally:
        csv.field_size_limit(longest)


def _from_rows(rows, source, wanted, labelled, header, delimiter, several):
    width = len(rows[0][1])
    for number, cells in rows:
        if len(cells) != width:
            if not any(cells):
                raise ValueError(f"{source}, line {number}: a blank line")
            raise ValueError(
                f"{source}, line {number}: {_count(len(cells), 'column')}, but line {rows[0][0]} has {width} "
                f"(delimiter: {DELIMITERS.get(delimiter, repr(delimiter))})"
            )
    first = [cell.strip() for cell in rows[0][1]]
    if header is None:
        header = _has_header(first, rows, wanted)
    names = first if header else None
    places = {what: _place(what, column, names, width, source) for what, column in wanted.items()}
    _complete(places, labelled, source, names, wanted["pair"] is True)
    if header:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{source}: there are no rows after the header")
    columns = {what: names[place] if names else place + 1 for what, place in places.items() if place is not None}
    values = {what: [] for what in columns}
    for number, cells in rows:
        for what, place in places.items():
            if place is not None:
                blank = several and what == "label"
                values[what].append(_filled(cells[place], what, columns[what], source, number, blank))
    return LabelledTexts(
        values["text"], values.get("label"), values.get("pair"), [number for number, _ in rows], source, columns,
        1 if header else None,
    )  # fmt: skip


def _from_json_lines(lines, source, wanted, labelled, several):
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{source}, line {number}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise ValueError(f'{source}, line {number}: expected an object, {{"text": ..., "label": ...}}')
        records.append(record)
    names = list(records[0])
    places = {what: _place(what, column, names, len(names), source) for what, column in wanted.items()}
    _complete(places, labelled, source, names, wanted["pair"] is True)
    columns = {what: names[place] for what, place in places.items() if place is not None}
    values = {what: [] for what in columns}
    for number, record in enumerate(records, 1):
        for what, name in columns.items():
            value = record.get(name)
            blank = several and what == "label"
            if blank and isinstance(value, list) and all(isinstance(label, str) for label in value):
                value = ",".join(value)
            if what == "label" and isinstance(value, (bool, int, float)):
                value = json.dumps(value)
            elif not isinstance(value, (str, type(None))):
                raise ValueError(f"{source}, line {number}, column {name!r}: expected text, got {value!r}")
            values[what].append(_filled(value or "", what, name, source, number, blank))
    numbers = list(range(1, len(records) + 1))
    return LabelledTexts(values["text"], values.get("label"), values.get("pair"), numbers, source, columns)


def _has_header(first, rows, wanted):
    """Whether the first row names the columns rather than being data."""
    if any(isinstance(column, str) and not column.isdecimal() for column in wanted.values()):
        return True
    if any(cell.lower() in USUAL_NAMES for cell in first):
        return True
    if wanted["label"] is None or not 0 < int(wanted["label"]) <= len(first):
        return False
    place = int(wanted["label"]) - 1
    others = [cells[place].strip() for _, cells in rows[1:]]
    if others and all(is_number(cell) for cell in others):
        return not is_number(first[place])
    return len(set(others)) < len(others) and first[place] not in others


def _place(what, column, names, width, source):
    """The place, from 0, of the column that was asked for, by name or number; None if none was and none is usual."""
    if column is None or column is True:
        if (what == "pair" and column is None) or not names:
            return None
        usual = {"text": USUAL_TEXT, "pair": USUAL_PAIR, "label": USUAL_LABEL}[what]
        lowered = [name.lower() for name in names]
        return next((lowered.index(name) for name in usual if name in lowered), None)
    if names and str(column) in names:
        if names.count(str(column)) > 1:
            raise ValueError(f"{source}: {names.count(str(column))} columns are called {column!r}; give a number")
        return names.index(str(column))
    if isinstance(column, str) and not column.isdecimal():
        if not names:
            raise ValueError(f"{source}: column {column!r} is asked for by name, but there is no header; give a number")
        raise ValueError(f"{source}: there is no column {column!r}; there are {', '.join(map(repr, names))}")
    if not 1 <= int(column) <= width:
        raise ValueError(f"{source}: there is no column {column}; there are {width}, counted from 1")
    return int(column) - 1


def _complete(places, labelled, source, names, pair):
    if not labelled:
        places["label"] = None
    for what in ("text", *(["pair"] if pair else []), *(["label"] if labelled else [])):
        if places[what] is None:
            there = f"; there are {', '.join(map(repr, names))}" if names else ", and there is no header to go by"
            raise ValueError(f"{source}: say which column holds the {what}{there}")
    taken = [place for place in places.values() if place is not None]
    if len(set(taken)) < len(taken):
        raise ValueError(f"{source}: the same column was given for two of text, pair and label")


def _filled(cell, what, column, source, number, blank=False):
    if not (blank or cell.strip()):
        raise ValueError(f"{source}, line {number}, column {column!r}: a row without {what}")
    return cell.strip() if what == "label" else cell


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"
