"""A WordPiece vocabulary made from text: characters, merged step by step into the pieces that occur most.

Every word begins as its first character and the others, marked "##" as continuations: sea is s ##e ##a. Then, again
and again, the pair of neighbouring pieces with the best score becomes one new piece, everywhere.

* "count" scores a pair by how often it occurs, f(ab). This is byte-pair encoding (Sennrich et al. 2016, section 3.2)
  and what WordPieceTrainer of the tokenizers package does.
* "likelihood" scores it by f(ab) / (f(a) f(b)): how much likelier the text becomes, per piece merged, under a model
  that draws each piece by its frequency (after Schuster & Nakajima 2012, who merge what raises the likelihood most).
  Pieces that rarely stand apart from each other are merged before pieces that are merely frequent, even where both are
  rare: so min_frequency should be higher here, 100 rather than 2 for a few million words.

Worked out by hand, for the words sea (6 times), set (4) and zoo (1):

    pieces     s 10   ##e 10   ##a 6   ##t 4   z 1   ##o 2
    pairs      s ##e 10   ##e ##a 6   ##e ##t 4   z ##o 1   ##o ##o 1
    count      s ##e is the most frequent pair: se, and then sea (6), set (4), zo, zoo
    likelihood s ##e 10/(10·10) = 0.1   ##e ##a 6/(10·6) = 0.1   ##e ##t 4/(10·4) = 0.1   z ##o 1/(1·2) = 0.5
               ##o ##o 1/(2·2) = 0.25: zo, and then zoo (1/(1·1)), se, sea, set

The same words give the same vocabulary on every machine: scores are compared as whole numbers, and of pairs with equal
scores the one comes first whose first piece, and then whose second piece, has the smaller number in the vocabulary.
"""

import heapq
from collections import Counter, defaultdict

from bertnp.tokenization.variants import LONGEST_WORD

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SCORES = ("count", "likelihood")
WAITING = 500_000  # stretches of text to gather before they are cut into words
LONGEST_QUEUE = 4  # times the number of pairs: what is longer holds mostly scores out of date, and is made anew


def count_words(texts, tokenizer):
    """How often each word occurs: Counter {word: count}, words as `tokenizer.words` gives them.

    texts: any iterable of str; only the counts are held. Words too long for the tokenizer are left out: they are never
    cut into pieces. The tokenizer's special tokens must have no spaces in them.
    """
    counts = Counter()
    waiting = Counter()  # what stands between two spaces, a word and its full stop perhaps: most of it comes often

    def count_waiting():
        for part, count in waiting.items():
            for word in tokenizer.words(part):
                counts[word] += count
        waiting.clear()

    for text in texts:
        waiting.update(text.split(" "))
        if len(waiting) > WAITING:
            count_waiting()
    count_waiting()
    for word in [word for word in counts if len(word) > LONGEST_WORD[tokenizer.mode]]:
        del counts[word]
    return counts


def train_vocabulary(
    word_counts, size, score="count", min_frequency=2, limit_alphabet=1000, special_tokens=(), reserved=0,
    progress=False,
):  # fmt: skip
    """The tokens of a WordPiece vocabulary, in order: `BertTokenizer(train_vocabulary(count_words(...), 8000))`.

    word_counts: {word: count}   size: how many tokens there shall be; fewer, if the words run out of pairs
    score: "count" or "likelihood", see above   min_frequency: merge no pair that occurs less often
    limit_alphabet: keep so many characters, the most frequent ones (of equals, the first by code point); None: all.
      Words with another character become [UNK], so they count for nothing here.
    special_tokens: more tokens after [PAD] [UNK] [CLS] [SEP] [MASK]   reserved: then so many, [unused0] [unused1] ...
    Then come the characters by code point, those that continue a word ("##a") likewise, and the merged pieces in the
    order of their making. progress: whether to show a bar if it takes longer than two seconds.

    ValueError where there are no words, or where size leaves no room for special tokens and characters.
    """
    if score not in SCORES:
        raise ValueError(f"score: expected {' or '.join(map(repr, SCORES))}, got {score!r}")
    for name, value, least in (("size", size, 1), ("min_frequency", min_frequency, 0), ("reserved", reserved, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    if limit_alphabet is not None and (not isinstance(limit_alphabet, int) or limit_alphabet < 1):
        raise ValueError(f"limit_alphabet: expected a whole number of at least 1 or None, got {limit_alphabet!r}")
    special = [*SPECIAL_TOKENS, *map(str, special_tokens), *(f"[unused{number}]" for number in range(reserved))]
    check_special_tokens(special)

    alphabet = frequent_characters(word_counts, limit_alphabet)
    words = sorted(word for word in word_counts if word and alphabet.issuperset(word))
    if not words:
        raise ValueError("there are no words to train a vocabulary on")
    continuing = {character for word in words for character in word[1:]}
    pieces = list(dict.fromkeys([*special, *sorted(alphabet), *("##" + c for c in sorted(continuing))]))
    if size < len(pieces):
        raise ValueError(
            f"size: {size:,} tokens are too few for {len(special):,} special and reserved ones and an alphabet of "
            f"{len(pieces) - len(special):,} ({len(alphabet):,} characters, {len(continuing):,} of them also within "
            f"words): expected {len(pieces):,} at least (--size), or fewer characters (--limit-alphabet)"
        )
    counts = [word_counts[word] for word in words]
    merge = Merging(words, counts, pieces, score, min_frequency)
    if progress:
        from tqdm import tqdm

        with tqdm(total=size, initial=len(pieces), unit=" tokens", delay=2, disable=None) as bar:
            while len(merge.pieces) < size and merge.step():
                bar.update(len(merge.pieces) - bar.n)
    else:
        while len(merge.pieces) < size and merge.step():
            pass
    return merge.pieces


def check_special_tokens(tokens):
    """ValueError for a special token that is empty, comes twice, or has white space in it."""
    for number, token in enumerate(tokens):
        if not token or token.split() != [token]:
            raise ValueError(f"special token {token!r}: expected a text without white space")
        if token in tokens[:number]:
            raise ValueError(f"special token {token!r} is given twice, or is one of {' '.join(SPECIAL_TOKENS)}")


def frequent_characters(word_counts, limit=None):
    """The set of the `limit` characters that occur most often in the words, of equals the first by code point."""
    counts = Counter()
    for word, count in word_counts.items():
        for character in word:
            counts[character] += count
    return set(sorted(counts, key=lambda character: (-counts[character], character))[:limit])


class Merging:
    """Words as sequences of pieces, and how often each pair of neighbours occurs: kept up to date merge by merge.

    words: the words   counts: how often each occurs
    pieces: list of str, the numbers of the pieces; it must hold every character of the words, as a first one or
      with "##". `step` appends to it.
    """

    def __init__(self, words, counts, pieces, score, min_frequency=0):
        self.pieces = list(pieces)
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}
        self.counts = counts
        self.by_likelihood = score == "likelihood"
        self.min_frequency = max(1, min_frequency)
        self.words = [
            [self.numbers[word[0]], *(self.numbers["##" + character] for character in word[1:])] for word in words
        ]
        self.pair_counts = defaultdict(int)  # (a, b) -> f(ab)
        self.words_of_pair = defaultdict(set)  # (a, b) -> numbers of the words it is in, or was
        self.piece_counts = defaultdict(int)  # a -> f(a)
        self.pairs_of_piece = defaultdict(set)  # a -> the pairs with it that may be merged
        changed = defaultdict(int)
        for number in range(len(self.words)):
            self._count(number, 1, changed)
        # Two fractions with denominators up to n² that differ do so by 1/n⁴ at least: times 2^shift, by 1 at least.
        self.shift = 4 * sum(self.piece_counts.values()).bit_length()
        self.queue = []  # (-score, a, b): the best first, and of equals the one with the smaller numbers
        self._update(changed)

    def step(self):
        """Merge the best pair; return whether there was one."""
        while self.queue:
            key, a, b = heapq.heappop(self.queue)
            if -key == self._score((a, b)):  # else it has changed since, and is in the queue anew
                self._merge(a, b)
                return True
        return False

    def _score(self, pair):
        """The score as a whole number, 0 for a pair that is too rare. Chapter 01, equation 1.2."""
        count = self.pair_counts.get(pair, 0)
        if count < self.min_frequency:
            return 0
        if not self.by_likelihood:
            return count
        a, b = pair
        return (count << self.shift) // (self.piece_counts[a] * self.piece_counts[b])

    def _merge(self, a, b):
        """Make ab one piece in all words."""
        piece = self.pieces[a] + self.pieces[b].removeprefix("##")
        ab = self.numbers.setdefault(piece, len(self.pieces))  # another pair may have made the same piece before
        if ab == len(self.pieces):
            self.pieces.append(piece)
        changed = defaultdict(int)
        for number in self.words_of_pair.pop((a, b)):
            self._count(number, -1, changed)
            self.words[number] = _merged(self.words[number], a, b, ab)
            self._count(number, 1, changed)
        self._update(changed, (a, b, ab))

    def _count(self, number, sign, changed):
        """Add a word to the counts of its pieces (sign 1) or take it away (-1); `changed` is {pair: by how much}."""
        word, count = self.words[number], sign * self.counts[number]
        for pair in zip(word, word[1:], strict=False):
            changed[pair] += count
            if sign > 0:
                self.words_of_pair[pair].add(number)
        for piece in word:
            self.piece_counts[piece] += count

    def _update(self, changed, pieces=()):
        """Put the pairs whose score has changed into the queue: `changed`, and all pairs with one of these pieces."""
        rescored = set()
        for pair, change in changed.items():
            if change:
                self.pair_counts[pair] += change
                if not self.pair_counts[pair]:
                    del self.pair_counts[pair]
                rescored.add(pair)
        if self.by_likelihood:
            for pair in rescored:
                keep_or_drop = set.add if self._score(pair) else set.discard
                for piece in pair:
                    keep_or_drop(self.pairs_of_piece[piece], pair)
            rescored.update(*(self.pairs_of_piece[piece] for piece in pieces))
        for pair in rescored:
            score = self._score(pair)
            if score:
                heapq.heappush(self.queue, (-score, *pair))
        if len(self.queue) > LONGEST_QUEUE * (len(self.pair_counts) + 250):
            scores = ((self._score(pair), pair) for pair in self.pair_counts)
            self.queue = [(-score, *pair) for score, pair in scores if score]
            heapq.heapify(self.queue)


def _merged(word, a, b, ab):
    """A word with each a b made one, from the left: "a a a" becomes "aa a"."""
    merged = []
    place = 0
    while place < len(word):
        if word[place] == a and word[place + 1 : place + 2] == [b]:
            merged.append(ab)
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged
