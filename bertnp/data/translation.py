"""Pairs of a source and its translation: from files or made up, split, and as token ids in batches."""

import datetime
from dataclasses import dataclass

import numpy as np

from bertnp.data.batches import IGNORED
from bertnp.data.tables import read_table

MONTHS = ("January February March April May June July August September October November December").split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


@dataclass
class SentencePairs:
    """Sources and their translations, row by row."""

    sources: list
    targets: list

    def __len__(self):
        return len(self.sources)

    def select(self, rows):
        return SentencePairs([self.sources[row] for row in rows], [self.targets[row] for row in rows])

    def distinct(self):
        """Each pair once, where it comes first."""
        seen = {}
        for row, pair in enumerate(zip(self.sources, self.targets, strict=True)):
            seen.setdefault(pair, row)
        return self.select(seen.values())

    def at_most(self, words):
        """The pairs whose source has at most so many words, between spaces."""
        return self.select([row for row, source in enumerate(self.sources) if len(source.split()) <= words])

    def hold_out(self, amount, seed=0):
        """Split into (the rest, a held-out part of about `amount` pairs), each in its order; no source is in both.

        amount: how many pairs or, below 1, which share; sources are drawn with all their translations until it is full
        """
        wanted = round(amount * len(self)) if amount < 1 else int(amount)
        if not 0 < wanted < len(self):
            raise ValueError(f"holding out {amount:g} of {len(self)} pairs leaves none to train on, or to evaluate on")
        rows_of = {}
        for row, source in enumerate(self.sources):
            rows_of.setdefault(source, []).append(row)
        different = list(rows_of)
        held_out = set()
        for place in np.random.default_rng(seed).permutation(len(different)):
            if len(held_out) >= wanted:
                break
            held_out.update(rows_of[different[place]])
        rest = [row for row in range(len(self)) if row not in held_out]
        return self.select(rest), self.select(sorted(held_out))


def read_pairs(file, source=None, target=None, **options):
    """Read pairs from a file: `SentencePairs`.

    source, target: columns, by name or by number from 1; None: the first two   options: as for `read_table`
    """
    columns = {"text": 1 if source is None else source, "pair": 2 if target is None else target}
    table = read_table(file, **columns, labelled=False, **options)
    return SentencePairs([text.strip() for text in table.texts], [text.strip() for text in table.pairs])


# made-up pairs


def date_pairs(n, seed=0):
    """n different dates of 1900 to 2099 as people write them, with the ISO form: ("3 March 1994", "1994-03-03").

    Where there are digits alone, the month comes first.
    """
    rng = np.random.default_rng(seed)
    first = datetime.date(1900, 1, 1).toordinal()
    last = datetime.date(2099, 12, 31).toordinal()

    def one():
        date = datetime.date.fromordinal(int(rng.integers(first, last + 1)))
        day, month, year = date.day, MONTHS[date.month - 1], date.year
        short, weekday = month[:3], DAYS[date.weekday()]
        ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        text = rng.choice([
            f"{day} {month} {year}", f"{month} {day}, {year}", f"{short} {day}, {year}",
            f"{weekday}, {month} {day}, {year}",
            f"the {day}{ending} of {month} {year}", f"{weekday}, the {day}{ending} of {month}, {year}",
            f"{date.month}/{day}/{year}", f"{day}-{short}-{year}",
        ])  # fmt: skip
        text = str(text)
        return (text.lower(), text, text.upper())[int(rng.integers(3))], date.isoformat()

    return _different(one, n)


def number_pairs(n, seed=0):
    """n different whole numbers below a million in words, with their digits: ("two hundred and seven", "207").

    Short and long ones come alike often, so there are at most a million and many fewer among the short ones.
    """
    rng = np.random.default_rng(seed)

    def one():
        number = int(rng.integers(10 ** int(rng.integers(1, 7))))
        return number_words(number), str(number)

    if n > 500_000:
        raise ValueError(f"number pairs: expected at most 500,000 of them, got {n:,}")
    return _different(one, n)


def number_words(number):
    """An English number below a million: 207 -> "two hundred and seven"."""
    if number < 20:
        return UNITS[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return TENS[tens - 2] + (f"-{UNITS[rest]}" if rest else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{UNITS[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    between = " and " if 0 < rest < 100 else " "
    return f"{number_words(thousands)} thousand" + (between + number_words(rest) if rest else "")


def copy_pairs(n, seed=0, least=1, most=20, letters="abcdefghij"):
    """n different rows of random letters, each to be copied: ("hgba", "hgba"). least, most: their length."""
    rng = np.random.default_rng(seed)

    def one():
        text = "".join(rng.choice(list(letters), int(rng.integers(least, most + 1))))
        return text, text

    return _different(one, n)


def recall_pairs(n, seed=0, least=20, most=40, letters="abcdefghij"):
    """n rows of small letters that begin with a capital, which is the answer: ("Dhgbaajc...", "D").

    The answer stands far from the end, and nothing near the end tells it.
    """
    rng = np.random.default_rng(seed)

    def one():
        answer = str(rng.choice(list(letters.upper())))
        return answer + "".join(rng.choice(list(letters), int(rng.integers(least, most + 1)))), answer

    return _different(one, n)


def _different(draw, n):
    found = {}
    while len(found) < n:
        source, target = draw()
        found.setdefault(source, target)
    return SentencePairs(list(found), list(found.values()))


MADE_UP = {"dates": date_pairs, "numbers": number_pairs, "copy": copy_pairs, "recall": recall_pairs}


# as token ids


class EncodedPairs:
    """Token ids of sources and targets, ready to be put into batches.

    source_ids, target_ids: for each pair a list of integers, not padded, the end token last
    pad_token_id: what fills up the shorter sources of a batch, on the right; targets are filled up with -100
    """

    def __init__(self, source_ids, target_ids, pad_token_id=0):
        if len(source_ids) != len(target_ids):
            raise ValueError(f"target_ids: expected one for each of {len(source_ids)} sources, got {len(target_ids)}")
        self.source_ids = [np.asarray(ids, np.int64) for ids in source_ids]
        self.target_ids = [np.asarray(ids, np.int64) for ids in target_ids]
        self.pad_token_id = pad_token_id
        self.lengths = np.array([len(ids) for ids in self.source_ids], np.int64)  # (n,) of the sources

    def __len__(self):
        return len(self.source_ids)

    def batch(self, rows):
        """The pairs of these rows as arrays: input_ids and attention_mask (B, S), labels (B, U)."""
        input_ids = padded([self.source_ids[row] for row in rows], self.pad_token_id)
        in_front = np.arange(input_ids.shape[1]) < self.lengths[rows][:, None]
        labels = padded([self.target_ids[row] for row in rows], IGNORED)
        return {"input_ids": input_ids, "attention_mask": in_front.astype(np.int64), "labels": labels}


def padded(rows, filler):
    """Lists of integers as one array (B, S), shorter ones filled up on the right."""
    array = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return array
