"""Chapter 01: words and pieces."""

from bertnp import BertTokenizer
from bertnp.learn.exercises import Exercise
from bertnp.learn.judges import Finding, compared, holds, properties
from bertnp.learn.stubs import words as stubs
from bertnp.tokenization.wordpiece import WordPiece

LETTERS = "abcde"


def some_pieces(rng, complete):
    """Pieces of up to four letters; complete: with every single letter in both forms, so that no word gets stuck."""
    pieces = {
        mark + "".join(rng.choice(list(LETTERS), size))
        for mark in ("", "##")
        for size in (2, 2, 3, 3, 4)
        for _ in range(8)
    }
    singles = [mark + letter for mark in ("", "##") for letter in LETTERS]
    return pieces | set(singles if complete else singles[::2])


def some_words(rng, count, longest=12, letters=LETTERS):
    return ["".join(rng.choice(list(letters), rng.randint(1, longest + 1))) for _ in range(count)]


def library_cut(pieces, **options):
    """The library's function of a word."""
    cut = WordPiece({piece: number for number, piece in enumerate(["[UNK]", *sorted(pieces)])}, **options).cut
    return lambda word: list(cut(word).tokens)


def walk(word, pieces, mark="##", shortest=False, stuck=list):
    """The walk through a word with parts to exchange; stuck: of the pieces so far, what to return where none fits."""
    found, start = [], 0
    while start < len(word):
        ends = range(start + 1, len(word) + 1) if shortest else range(len(word), start, -1)
        fitting = ((mark if start else "") + word[start:end] for end in ends)
        piece = next((piece for piece in fitting if piece in pieces), None)
        if piece is None:
            return stuck(found)
        found.append(piece)
        start += len(piece.removeprefix(mark) if mark else piece)
    return found


TOKENIZERS = {
    "WordPiece.cut": WordPiece.cut,
    "WordPiece.ids": WordPiece.ids,
    "BertTokenizer": BertTokenizer.__init__,
    "the judge's walk": walk,
}  # whoever wants pieces from the library comes by one of these


@properties
def judge_cut(cut, rng):
    pieces = some_pieces(rng, complete=True)
    right = library_cut(pieces)
    groups = {
        "words that are pieces themselves": [piece for piece in sorted(pieces) if not piece.startswith("##")][:20],
        "other words": [*some_words(rng, 10, longest=2), *some_words(rng, 60)],
    }
    for what, words in groups.items():
        known = [
            ([walk(word, pieces, shortest=True) for word in words], "the shortest first",
             "It takes the shortest piece that fits. Try the longest first, the whole rest of the word."),
            ([walk(word, pieces, mark="") for word in words], "pieces without ##",
             'After the start of a word only pieces with "##" in front may be taken; yours looks for plain ones.'),
            ([[piece.removeprefix("##") for piece in right(word)] for word in words], "## lost",
             'The cuts are right, but the pieces have lost their "##": return them as they stand in the vocabulary.'),
        ]  # fmt: skip
        yield compared(what, [listed(cut(word, pieces)) for word in words], [right(word) for word in words], known)


@properties
def judge_unknown(cut, rng):
    pieces = some_pieces(rng, complete=False)
    right = library_cut(pieces)
    words = some_words(rng, 120)
    known = [
        ([walk(word, pieces, stuck=lambda found: [*found, "[UNK]"]) for word in words], "what is left is unknown",
         "Where no piece fits it keeps the pieces before and adds [UNK]. The whole word is unknown: one token."),
        ([walk(word, pieces) for word in words], "stops where it is stuck",
         "Where no piece fits it returns the pieces so far. The whole word is unknown then."),
        ([[] if right(word) == ["[UNK]"] else right(word) for word in words], "nothing for unknown",
         'A word that cannot be cut gives an empty list; it should give ["[UNK]"].'),
    ]  # fmt: skip
    yield compared("words that can be cut, and others", [listed(cut(word, pieces)) for word in words],
                   [right(word) for word in words], known)  # fmt: skip
    foreign = [f"{word}z" for word in words[:10]]
    yield compared("words with a letter that is in no piece", [listed(cut(word, pieces)) for word in foreign],
                   [["[UNK]"]] * 10)  # fmt: skip
    whole = some_pieces(rng, complete=True)
    short = library_cut(whole, longest_word=6)
    words = some_words(rng, 60, longest=9)
    known = [
        ([library_cut(whole)(word) for word in words], "no limit",
         "longest_word is not used: words with more characters than that are unknown, however they could be cut."),
        ([library_cut(whole, longest_word=5)(word) for word in words], "one too early",
         "A word of just longest_word characters is not too long yet."),
    ]  # fmt: skip
    yield compared("words that are too long", [listed(cut(word, whole, 6)) for word in words],
                   [short(word) for word in words], known)  # fmt: skip
    hundred = "a" * 100
    pair = [listed(cut(word, {"a", "##a"})) for word in (hundred, hundred + "a")]
    yield compared("100 characters and 101", pair, [["a"] + ["##a"] * 99, ["[UNK]"]])


def listed(answer):
    return list(answer) if isinstance(answer, tuple) else answer


@properties
def judge_greedy_fails(fails, rng):
    answer = fails()
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str)):
        yield Finding("a set of pieces and a word", "Return a set of pieces and a word: return pieces, word.", "form")
        return
    pieces, word = set(answer[0]), answer[1]
    greedy = walk(word, pieces, stuck=lambda found: [])
    sentence = (
        f"Greedy cuts {word!r} into {' '.join(greedy)}, expected three." if greedy else f"It gets stuck in {word!r}."
    )
    yield holds("greedy takes three pieces", len(greedy) == 3, sentence, "not three")
    two = any(word[:end] in pieces and f"##{word[end:]}" in pieces for end in range(1, len(word)))
    yield holds("two would do", two, f"No two of your pieces make up {word!r}.", "no two")
    sentence = f"Your vocabulary has {len(pieces)} pieces. Four are enough: greedy may use one of them twice."
    yield holds("the vocabulary is as small as can be", len(pieces) <= 4, sentence, "not the smallest")


@properties
def judge_join(join, rng):
    pieces = some_pieces(rng, complete=True)
    cut = library_cut(pieces)
    for what, count in (("one word", 1), ("several words", 6)):
        words = some_words(rng, count)
        tokens = [piece for word in words for piece in cut(word)]
        known = [
            (" ".join(piece.removeprefix("##") for piece in tokens), "blanks inside words",
             "There are blanks inside words: a piece with ## goes on with the word before it."),
            ("".join(piece.removeprefix("##") for piece in tokens), "no blanks",
             "The blanks between words are lost: a piece without ## begins a new word."),
            (" ".join(tokens), "## left", "The ## are still there."),
            (" " + " ".join(words), "blank in front", "There is a blank in front of the first word."),
        ]  # fmt: skip
        yield compared(what, join(list(tokens)), " ".join(words), known)


EXERCISES = [
    Exercise(
        "1.1",
        "The greedy cut",
        "Cut a word into pieces, at each place the longest piece of the vocabulary that fits.",
        ("cut_word",),
        {"cut_word": stubs.cut_word},
        judge_cut,
        (
            "Walk through the word with a number that says where you are. What do you try first at that place, and "
            "what next?",
            "Two loops: the outer goes on while there is something left of the word; the inner tries ends from the end "
            'of the word backwards. From the second piece on, put "##" in front before you look.',
            "start = 0, and while start < len(word): for each end in range(len(word), start, -1) make the candidate "
            "(marked if start > 0); the first that is in pieces goes into the list, and start becomes its end.",
        ),
        points=2,
        closed=TOKENIZERS,
    ),
    Exercise(
        "1.2",
        "The rule for [UNK]",
        "Add what happens to words that cannot be cut, and to words that are too long.",
        ("cut_or_unknown",),
        {"cut_or_unknown": stubs.cut_or_unknown},
        judge_unknown,
        (
            "What does your walk of 1.1 do when no end is left to try? And which words need no walk at all?",
            "BERT gives up on the whole word: not on the rest of it, and not letter by letter.",
            "First compare len(word) with longest_word. In the walk, when the inner loop has found nothing (its "
            '"else"), return the list with the single unknown token, whatever was found before.',
        ),
        needs=("1.1",),
        closed=TOKENIZERS,
    ),
    Exercise(
        "1.3",
        "Where greedy is not clever",
        "Find a vocabulary of four pieces and a word that greedy cuts into three of them, though two would do.",
        ("greedy_fails",),
        {"greedy_fails": stubs.greedy_fails},
        judge_greedy_fails,
        (
            "The first piece that greedy takes must be longer than the first piece of the better cut.",
            "Begin with the cut in two, x + ##y. Lengthen x by the first letter of y: greedy takes that, and y without "
            "its first letter must be cut once more.",
            "If the two pieces that greedy takes last are the same one, it counts only once: let y end with a letter "
            "twice, and have that letter as a piece with ##.",
        ),
        needs=("1.1",),
    ),
    Exercise(
        "1.6",
        "Pieces back to words",
        "Put the pieces of a text together again.",
        ("join_pieces",),
        {"join_pieces": stubs.join_pieces},
        judge_join,
        (
            "A piece with ## belongs to the word before it, every other one begins a word.",
            "One line will do: first put all of them together with blanks between.",
            'Then two things stand in the text between pieces of one word: a blank and "##". Replace both at once by '
            "nothing.",
        ),
        needs=("1.1",),
        closed=TOKENIZERS,
    ),
]
