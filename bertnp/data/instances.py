"""Instances for pre-training: pairs of segments with masked words, drawn as Devlin et al. drew theirs.

The documents are shuffled, and `dupe_factor` times each is gone through from its first sentence to its last:

1. Sentences are gathered into a chunk until it has as many tokens as fit into an instance (with probability
   `short_seq_prob`, once for the whole document, a random smaller number), or the document ends.
2. The chunk is cut between two of its sentences, at random; what is before the cut is segment A.
3. In one half of the cases segment B is the rest of the chunk. Otherwise, and always where the chunk is a single
   sentence, B begins at a random sentence of a random other document, and the rest of the chunk goes back, so that
   the next chunk begins with it.
4. As long as both are too long together, the longer one (of equals B) loses its first or its last token, at random.
5. Of [CLS] A [SEP] B [SEP] some tokens, or with `whole_word` some words, are chosen to be predicted: 80 % of their
   tokens become [MASK], 10 % a random token of the vocabulary, 10 % stay.

In the end all instances are shuffled. Every number is drawn from one `random.Random`, in the order in which
create_pretraining_data.py of google-research/bert draws it, so that a seed gives the same instances.

`draw_instances` does all but the last shuffle. It sees documents as flat sequences with the places where sentences and
documents begin, and draws stretches of them, so tokens may as well be strings in a list or ids in a file.

Devlin et al. 2019, section 3.1 and appendix A.2.
"""

import random
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

SHORTEST = 5  # [CLS] A [SEP] B [SEP], with a token for A and one for B
OTHER_DOCUMENT_TRIES = 10
SINGLE_DOCUMENT = (
    "the corpus is a single document, and the next-sentence task needs two: put blank lines between documents"
)


@dataclass
class PretrainingInstance:
    """A pair of segments with masked words: `instance.tokens` or `instance["tokens"]`.

    tokens: [CLS] A [SEP] B [SEP] as strings, with words masked
    segment_ids: for each token 0 (up to the first [SEP]) or 1
    masked_lm_positions, masked_lm_labels: which tokens are to be predicted, ascending, and what they were
    is_random_next: whether B was taken from elsewhere and doesn't follow A
    """

    tokens: list
    segment_ids: list
    masked_lm_positions: list
    masked_lm_labels: list
    is_random_next: bool

    def keys(self):
        return [field.name for field in fields(self)]

    def __getitem__(self, name):
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)


@dataclass(frozen=True)
class InstanceSettings:
    """What `draw_instances` is to make; the names and defaults are those of create_pretraining_data.py."""

    max_seq_length: int = 128
    dupe_factor: int = 10
    short_seq_prob: float = 0.1
    masked_lm_prob: float = 0.15
    max_predictions_per_seq: int = 20
    whole_word: bool = False

    def __post_init__(self):
        for name, least in (("max_seq_length", SHORTEST), ("dupe_factor", 1), ("max_predictions_per_seq", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
                raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
        for name in ("short_seq_prob", "masked_lm_prob"):
            value = getattr(self, name)
            if isinstance(value, (str, bytes)) or not 0 <= value <= 1:
                raise ValueError(f"{name}: expected a probability from 0 to 1, got {value!r}")


class FlatCorpus(NamedTuple):
    """Documents laid end to end; none is empty, and no sentence is.

    tokens: all tokens, strings or ids   sentences: where in `tokens` each sentence begins, and the end of the last
    documents: where in `sentences` each document begins, and the end of the last
    Lists, or what gives Python's own numbers just as well: array.array, a memoryview of a file.
    """

    tokens: Sequence
    sentences: Sequence
    documents: Sequence

    def sentence_starts(self, document):
        """Where in `tokens` the sentences of a document begin, and the end of the last."""
        return list(self.sentences[self.documents[document] : self.documents[document + 1] + 1])


class TokenKinds(NamedTuple):
    """What drawing must know of the tokens, in the same form (strings or ids) as the corpus has them.

    cls, sep, mask: [CLS], [SEP] and [MASK]   vocabulary: all tokens, in the order of the vocabulary's file
    continues: function of a token: whether it is a piece that continues a word ("##ing")
    """

    cls: object
    sep: object
    mask: object
    vocabulary: Sequence
    continues: Callable


class DrawnInstance(NamedTuple):
    """An instance as stretches of a FlatCorpus: A is tokens[first[0]:first[1]], B is tokens[second[0]:second[1]].

    positions: the masked ones, ascending, counted in [CLS] A [SEP] B [SEP]   replacements: what stands there instead
    """

    first: tuple
    second: tuple
    is_random_next: bool
    positions: list
    replacements: list


def create_pretraining_instances(
    documents,
    tokenizer,
    max_seq_length,
    dupe_factor,
    short_seq_prob,
    masked_lm_prob,
    max_predictions_per_seq,
    whole_word,
    rng,
):
    """Make pre-training instances: a list of `PretrainingInstance`, equal to Google's for the same generator's state.

    documents: documents in the order of their files, each a list of sentences, each a list of tokens (strings). Empty
      sentences and documents are left out; the lists stay as they are
    tokenizer: gives the vocabulary that random words are drawn from, and the special tokens
    max_seq_length: of an instance, with [CLS] and both [SEP]   dupe_factor: how often each document is gone through
    short_seq_prob: how often a document is cut into shorter instances
    masked_lm_prob, max_predictions_per_seq: share of the tokens that are predicted, at least one, and their most
    whole_word: choose words with all their "##" pieces instead of single tokens
    rng: random.Random(12345) for what Google's script draws

    Raises ValueError if there are fewer than two documents with text, or a setting makes no sense.
    """
    settings = InstanceSettings(
        max_seq_length, dupe_factor, short_seq_prob, masked_lm_prob, max_predictions_per_seq, whole_word
    )
    if not isinstance(rng, random.Random):
        raise TypeError(f"rng: expected a random.Random, got {type(rng).__name__}")
    kinds = TokenKinds(
        tokenizer.cls_token, tokenizer.sep_token, tokenizer.mask_token, list(tokenizer.vocab), is_continuation
    )
    corpus = flat_corpus(documents)
    drawn = draw_instances(corpus, range(len(corpus.documents) - 1), kinds, settings, rng)
    instances = [_with_tokens(corpus, instance, kinds) for instance in drawn]
    rng.shuffle(instances)
    return instances


def is_continuation(token):
    """Whether a token continues the word before it."""
    return token.startswith("##")


def flat_corpus(documents):
    """Lists of lists of tokens as a FlatCorpus, without what is empty."""
    tokens, sentences, starts = [], array("q", [0]), array("q", [0])
    for number, document in enumerate(documents):
        if isinstance(document, str):
            raise TypeError(f"documents[{number}]: expected a list of sentences, got the text {document!r:.60}")
        for sentence in document:
            if isinstance(sentence, str):
                raise TypeError(f"documents[{number}]: expected sentences split into tokens, got {sentence!r:.60}")
            if sentence:
                tokens.extend(sentence)
                sentences.append(len(tokens))
        if len(sentences) - 1 > starts[-1]:
            starts.append(len(sentences) - 1)
    return FlatCorpus(tokens, sentences, starts)


def _with_tokens(corpus, drawn, kinds):
    """The strings of a drawn instance."""
    a, b = corpus.tokens[slice(*drawn.first)], corpus.tokens[slice(*drawn.second)]
    tokens = [kinds.cls, *a, kinds.sep, *b, kinds.sep]
    labels = [tokens[position] for position in drawn.positions]
    for position, replacement in zip(drawn.positions, drawn.replacements, strict=True):
        tokens[position] = replacement
    segment_ids = [0] * (len(a) + 2) + [1] * (len(b) + 1)
    return PretrainingInstance(tokens, segment_ids, drawn.positions, labels, drawn.is_random_next)


def draw_instances(corpus, documents, kinds, settings, rng, progress=None):
    """Yield the instances of some documents, not yet shuffled: DrawnInstance.

    corpus: FlatCorpus   documents: their numbers in it, in the order of the files   kinds: TokenKinds
    settings: InstanceSettings   rng: random.Random   progress: called after each document that was gone through

    Raises ValueError if there are fewer than two documents: the next sentence could not be another document's.
    """
    if len(documents) == 0:
        raise ValueError("the corpus is empty: there is no document with text in it")
    if len(documents) == 1:
        raise ValueError(SINGLE_DOCUMENT)
    order = array("q", documents)
    rng.shuffle(order)
    for _ in range(settings.dupe_factor):
        for place in range(len(order)):
            yield from _document_instances(corpus, order, place, kinds, settings, rng)
            if progress is not None:
                progress()


def _document_instances(corpus, order, place, kinds, settings, rng):
    """The instances of the document order[place], from its first sentence to its last."""
    starts = corpus.sentence_starts(order[place])
    n = len(starts) - 1
    room = settings.max_seq_length - 3  # beside [CLS] and two [SEP]
    target = room
    if rng.random() < settings.short_seq_prob:
        target = rng.randint(2, room)

    begin = end = 0  # the chunk is sentences begin ... end - 1
    while end < n:
        end += 1
        if end < n and starts[end] - starts[begin] < target:
            continue
        cut = begin + 1 if end - begin == 1 else begin + rng.randint(1, end - begin - 1)
        first = starts[begin], starts[cut]
        is_random_next = end - begin == 1 or rng.random() < 0.5
        if is_random_next:
            second = _random_segment(corpus, order, place, target - (first[1] - first[0]), rng)
            end = cut  # the sentences after the cut were not used
        else:
            second = starts[cut], starts[end]
        first, second = truncate_pair(first, second, room, rng)
        tokens = [
            kinds.cls, *corpus.tokens[slice(*first)], kinds.sep, *corpus.tokens[slice(*second)], kinds.sep
        ]  # fmt: skip
        yield DrawnInstance(first, second, is_random_next, *mask_statically(tokens, kinds, settings, rng))
        begin = end


def _random_segment(corpus, order, place, target, rng):
    """Sentences of another document than order[place], from a random one on until they have `target` tokens.

    After ten tries the other document may be the same one.
    """
    for _ in range(OTHER_DOCUMENT_TRIES):
        other = rng.randint(0, len(order) - 1)
        if other != place:
            break
    starts = corpus.sentence_starts(order[other])
    n = len(starts) - 1
    begin = rng.randint(0, n - 1)
    end = begin + 1
    while end < n and starts[end] - starts[begin] < target:
        end += 1
    return starts[begin], starts[end]


def truncate_pair(first, second, room, rng):
    """Shorten the longer of two stretches (start, stop) until both have `room`, by a token at either end at a time."""
    (a, a_stop), (b, b_stop) = first, second
    while a_stop - a + b_stop - b > room:
        at_front = rng.random() < 0.5
        if a_stop - a > b_stop - b:
            a, a_stop = (a + 1, a_stop) if at_front else (a, a_stop - 1)
        else:
            b, b_stop = (b + 1, b_stop) if at_front else (b, b_stop - 1)
    return (a, a_stop), (b, b_stop)


def mask_statically(tokens, kinds, settings, rng):
    """Choose what is to be predicted of [CLS] A [SEP] B [SEP]: (positions, ascending; what is put there).

    The number of predictions is the share of all tokens, rounded (halves to even), at least one and at most
    `max_predictions_per_seq`. A word that would exceed it is passed over.
    """
    candidates = []  # positions of tokens or, of a word, of all its pieces
    for position, token in enumerate(tokens):
        if token == kinds.cls or token == kinds.sep:
            continue
        if settings.whole_word and candidates and kinds.continues(token):
            candidates[-1].append(position)  # also where B begins with the rest of a word that was cut
        else:
            candidates.append([position])
    rng.shuffle(candidates)
    most = min(settings.max_predictions_per_seq, max(1, round(len(tokens) * settings.masked_lm_prob)))
    chosen = {}  # position -> what is put there
    for candidate in candidates:
        if len(chosen) >= most:
            break
        if len(chosen) + len(candidate) > most:
            continue
        for position in candidate:
            if rng.random() < 0.8:
                chosen[position] = kinds.mask
            elif rng.random() < 0.5:
                chosen[position] = tokens[position]
            else:
                chosen[position] = kinds.vocabulary[rng.randint(0, len(kinds.vocabulary) - 1)]
    positions = sorted(chosen)
    return positions, [chosen[position] for position in positions]
