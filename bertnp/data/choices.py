"""Choices between several endings or answers, from JSON lines, as token ids.

    {"context": "She opened the door.", "choices": ["It rained.", "It sang."], "label": 0}

"question" may stand beside the context, or alone. SWAG's names (sent1, sent2, ending0, ...) are read, too.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertnp.data.encoded import EncodedTexts
from bertnp.data.tables import decode_lines
from bertnp.data.windows import shortened
from bertnp.tokenization.truncation import windows

CONTEXT = ("context", "sent1", "passage", "article", "premise", "text", "startphrase")
QUESTION = ("question", "sent2")
OPTIONS = ("choices", "options", "answers", "endings")
LABEL = ("label", "answer", "gold", "answerKey")


@dataclass
class Choices:
    """Contexts, each with C continuations, and which of them is right.

    contexts: texts, which may be empty   options: [[text, ...], ...]   labels: the right one's place, from 0; or None
    lines: the line of the file that each stands on   source: the file's name, for messages   notes: see `Questions`
    """

    contexts: list
    options: list
    labels: list | None = None
    lines: list | None = None
    source: str = "the data"
    notes: list = field(default_factory=list)

    def __len__(self):
        return len(self.options)

    def select(self, rows):
        """The same with these examples only, in this order."""
        columns = (self.contexts, self.options, self.labels, self.lines)
        return Choices(*(None if c is None else [c[row] for row in rows] for c in columns), self.source)


def read_choices(path, labelled=True):
    """Read a file of JSON lines: `Choices`.

    labelled: whether to read which one is right: its place from 0, its letter (A, B, ...) or its text

    Raises FileNotFoundError, or ValueError naming file and line: no JSON, no choices, not as many as in the first line,
    a label that is none of them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    found = Choices([], [], [] if labelled else None, [], str(path))
    for number, line in enumerate(decode_lines(path.read_bytes(), str(path)), 1):
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: not JSON ({error})") from None
        if not isinstance(record, dict):
            raise ValueError(f'{where}: expected an object, {{"context": ..., "choices": [...], "label": 0}}')
        context, options = _texts(record, where)
        if found.options and len(options) != len(found.options[0]):
            raise ValueError(f"{where}: {len(options)} choices, but line {found.lines[0]} has {len(found.options[0])}; "
                             "all need as many")  # fmt: skip
        if labelled:
            found.labels.append(_label(record, options, where))
        found.contexts.append(context)
        found.options.append(options)
        found.lines.append(number)
    if not found.options:
        raise ValueError(f"{path}: the file is empty")
    return found


def _texts(record, where):
    """The context and the choices of a record; what stands before each ending is put there."""
    context, question = (next((record[n] for n in names if n in record), "") for names in (CONTEXT, QUESTION))
    options = next((record[name] for name in OPTIONS if isinstance(record.get(name), list)), None)
    if options is None:
        options = [record[f"ending{i}"] for i in range(len(record)) if f"ending{i}" in record]
    if len(options) < 2:
        raise ValueError(f'{where}: expected two choices or more, as a list called "choices"')
    for text in (context, question, *options):
        if not isinstance(text, str):
            raise ValueError(f"{where}: expected text, got {text!r:.60}")
    if not all(option.strip() for option in options):
        raise ValueError(f"{where}: a choice is blank")
    if not context.strip() and not question.strip():
        raise ValueError(f'{where}: expected a "context" or a "question"')
    if not context.strip():
        return question, options
    return context, [f"{question} {option}" if question.strip() else option for option in options]


def _label(record, options, where):
    """The place of the right choice."""
    label = next((record[name] for name in LABEL if name in record), None)
    if isinstance(label, str):
        if label in options:
            return options.index(label)
        label = label.strip()
        label = int(label) if label.isdecimal() else ord(label) - ord("A") if len(label) == 1 else label
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(options):
        raise ValueError(f"{where}: expected as label a choice's place (0..{len(options) - 1}), letter or text, got "
                         f"{next((record[name] for name in LABEL if name in record), None)!r}")  # fmt: skip
    return label


class EncodedChoices(EncodedTexts):
    """Rows of C choices each, [CLS] context [SEP] choice [SEP]; several rows are windows over one context.

    choices: (n,) `EncodedTexts` of C rows   labels: (n,) the place of the right one, or None
    """

    def __init__(self, choices, labels=None, pad_token_id=0, texts=None):
        self.choices = choices
        self.C = len(choices[0])
        self.labels = None if labels is None else np.asarray(labels, np.int64)
        self.pad_token_id = pad_token_id
        self.lengths = np.array([row.lengths.max() for row in choices], np.int64)
        self.texts = np.arange(len(choices)) if texts is None else np.asarray(texts, np.int64)

    def __len__(self):
        return len(self.choices)

    def inputs(self, rows):
        """(B, C, S) arrays."""
        shape = len(rows), self.C, int(self.lengths[rows].max())
        batch = {}
        for b, row in enumerate(rows):
            for name, values in self.choices[row].inputs(range(self.C)).items():
                fill = self.pad_token_id if name == "input_ids" else 0
                batch.setdefault(name, np.full(shape, fill, np.int64))[b, :, : values.shape[1]] = values
        return batch


def encode_choices(tokenizer, contexts, options, labels=None, max_length=None, stride=None):
    """Contexts and their choices as `EncodedChoices`, at most max_length tokens a row.

    stride: lay windows over long contexts, neighbours sharing so many tokens, the same ones for all choices; None: cut
      the longer of context and choice, as the tokenizer cuts pairs. In windows a choice gets at most half the room.
    """
    rows, owners = [], []
    for text, (context, endings) in enumerate(zip(contexts, options, strict=True)):
        if stride is None:
            found = tokenizer([context] * len(endings), list(endings), truncation=True, max_length=max_length)
            cut = [(found["input_ids"], found["token_type_ids"])]
        else:
            cut = _windows(tokenizer, context, endings, max_length, stride)
        rows += [EncodedTexts(ids, types, None, tokenizer.pad_token_id) for ids, types in cut]
        owners += [text] * len(cut)
    owners = np.array(owners, np.int64)
    return EncodedChoices(rows, None if labels is None else np.asarray(labels)[owners], tokenizer.pad_token_id, owners)


def _windows(tokenizer, context, endings, max_length, stride):
    """[(ids, token types) of C rows, ...]: each window of the context with each ending."""
    endings, _ = shortened(tokenizer, list(endings), (max_length - 3) // 2)
    plain = {"add_special_tokens": False, "verbose": False}
    ids = tokenizer(context, **plain)["input_ids"]
    seconds = tokenizer(endings, **plain)["input_ids"]
    size = max_length - 3 - max(map(len, seconds))
    cut = []
    for start, stop in windows(len(ids), size, stride, "right"):
        rows = [tokenizer.build_inputs_with_special_tokens(ids[start:stop], second) for second in seconds]
        types = [[0] * (stop - start + 2) + [1] * (len(row) - (stop - start) - 2) for row in rows]
        cut.append((rows, types))
    return cut
