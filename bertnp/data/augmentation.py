"""More training texts from those there are, by changing a few of their words; labels stay what they are.

Words are what stands between spaces. Wei & Zou 2019 (random swap, random deletion); Kobayashi 2018 (replacement by
what a language model predicts).
"""

import numpy as np

CHANGES = ("dropout", "swap", "replace")


def drop_words(words, p, rng):
    """Each word is left out with probability p; one stays at least."""
    kept = [word for word, drawn in zip(words, rng.random(len(words)), strict=True) if drawn >= p]
    return kept or [words[rng.integers(len(words))]]


def swap_words(words, p, rng):
    """Two words, drawn anew each time, change places, as often as n draws with probability p say yes."""
    words = list(words)
    if len(words) > 1:
        for _ in range(rng.binomial(len(words), p)):
            i, j = rng.choice(len(words), size=2, replace=False)
            words[i], words[j] = words[j], words[i]
    return words


def replace_words(texts, p, rngs, fill, mask, top_k=10):
    """Each word is, with probability p, replaced by one of the top_k words that fit there, but never by itself.

    The words of one text are masked together; of those that fit, each is drawn with its probability among them,
    q(w) = p(w) / Σ p(w') over the top_k words w'. Only words of letters are replaced, and by such.

    Chapter 21, equation 21.1.

    fill: function that gives, for texts with [MASK]s, the words that fit each and their probabilities: for each text a
      list of [(word, probability), ...]; None for a text that is too long   mask: how [MASK] is written
    """
    rows = [text.split() for text in texts]
    places = [
        [i for i, drawn in enumerate(rng.random(len(words))) if drawn < p and words[i].isalpha()]
        for words, rng in zip(rows, rngs, strict=True)
    ]
    masked = [
        " ".join(mask if i in chosen else word for i, word in enumerate(words))
        for words, chosen in zip(rows, places, strict=True)
    ]
    some = [row for row, chosen in enumerate(places) if chosen]
    for row, candidates in zip(some, fill([masked[row] for row in some]) if some else [], strict=True):
        for place, fitting in zip(places[row], candidates or [], strict=False):
            fitting = [(w, q) for w, q in fitting if w.isalpha() and w != rows[row][place].lower()][:top_k]
            if fitting:
                q = np.array([q for _, q in fitting])
                rows[row][place] = fitting[rngs[row].choice(len(fitting), p=q / q.sum())][0]
    return [" ".join(words) for words in rows]


def augmented(table, copies, seed=0, dropout=0.0, swap=0.0, replace=0.0, fill=None, mask="[MASK]"):
    """A table with `copies` changed copies of each row behind its own; a text and its pair are both changed.

    table: LabelledTexts   dropout, swap, replace: the probabilities of `drop_words`, `swap_words`, `replace_words`
    fill, mask: see `replace_words`; needed for it alone

    Each copy is drawn from (seed, copy, row): it does not depend on the other rows.
    """
    for name, p in (("dropout", dropout), ("swap", swap), ("replace", replace)):
        if not 0 <= p < 1:
            raise ValueError(f"{name}: expected a probability from 0 to below 1, got {p!r}")
    if not (dropout or swap or replace):
        raise ValueError("augmentation: expected a probability above 0 of dropout, swap or replace")
    rows = np.repeat(np.arange(len(table)), 1 + copies)
    more = table.select(rows)
    changed = np.flatnonzero(np.tile(np.arange(1 + copies), len(table)))
    for part, texts in enumerate((more.texts, more.pairs)):
        if texts is None:
            continue
        rngs = [np.random.default_rng([seed, row % (1 + copies), rows[row], part]) for row in changed]
        found = [texts[row] for row in changed]
        if replace:
            found = replace_words(found, replace, rngs, fill, mask)
        for row, text, rng in zip(changed, found, rngs, strict=True):
            words = text.split()
            words = swap_words(words, swap, rng) if swap else words
            texts[row] = " ".join(drop_words(words, dropout, rng) if dropout else words)
    return more
