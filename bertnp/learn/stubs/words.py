"""Chapter 01: words and pieces."""


def cut_word(word, pieces):
    """The word cut into pieces, at each place the longest piece that fits            Devlin et al. 2019; equation 1.1

    At the start of the word the pieces without "##" are looked at, after it only those with it.

    word: a string that can be cut so   pieces: a set of strings such as "un", "##aff", "##able"
    ->  list of pieces, in order, with their "##"
    """


def cut_or_unknown(word, pieces, longest_word=100):
    """As `cut_word`, but ["[UNK]"] where no piece fits at some place, or where the word is longer than longest_word

    The whole word is unknown then, not what is left of it.

    word: any string, not empty   pieces: a set of strings  ->  list of pieces, or ["[UNK]"]
    """


def greedy_fails():
    """A vocabulary as small as can be, and a word that greedy cuts into three pieces of it, though two would do

    ->  pieces: a set of strings   word: a string
    """


def join_pieces(tokens):
    """The words that these pieces came from, with a blank between words: ["un", "##able", "cat"] -> "unable cat"

    tokens: list of pieces  ->  a string
    """
