import random
from collections import Counter

import pytest

from bertnp.data.world import Slot, World
from bertnp.tokenization import BertTokenizer

HIDDEN = {"person": ("Ann", "Bob")}
SLOTS = {
    "Ann": Slot("person", {"Ann": ["Ann"], "Bob": ["Bob"]}),
    "she": Slot("person", {"Ann": ["she"], "Bob": ["he"]}),
    "red": Slot(None, {None: ["red", "red", "red", "blue"]}),
}


def world(patterns=(("{Ann} saw a {red} house.",), ("{she} went: in!", "{she} left."))):
    return World(HIDDEN, SLOTS, patterns)


def test_stories_have_a_thread_and_are_written_as_english_is():
    stories = world().stories(200, seed=1)
    assert {story[0].split()[0] for story in stories} == {"Ann", "Bob"}
    for first, second in stories:
        assert first in {f"{name} saw a {colour} house." for name in ("Ann", "Bob") for colour in ("red", "blue")}
        pronoun = {"Ann": "She", "Bob": "He"}[first.split()[0]]
        assert second in {f"{pronoun} went: in!", f"{pronoun} left."}


def test_choices_are_as_likely_as_the_grammar_says():
    stories = world().stories(4000, seed=2)
    colours = Counter(story[0].split()[3] for story in stories)
    assert abs(colours["red"] - 3000) < 4 * (4000 * 0.75 * 0.25) ** 0.5
    assert abs(sum("left" in story[1] for story in stories) - 2000) < 4 * 1000**0.5
    both = Counter((story[0].split()[0], "left" in story[1]) for story in stories)
    assert all(abs(count - 1000) < 4 * 750**0.5 for count in both.values())  # independent


def test_a_seed_tells_the_same_stories_and_another_one_others():
    random.seed(3)
    assert world().stories(20, seed="a") == world().stories(20, seed="a") != world().stories(20, seed="b")
    assert world().stories(30, seed=4)[:20] == world().stories(20, seed=4)
    on_every_machine = [
        ["Ann saw a red house.", "She went: in!"],
        ["Bob saw a red house.", "He left."],
        ["Bob saw a red house.", "He went: in!"],
        ["Bob saw a red house.", "He left."],
    ]
    assert world().stories(4, seed=1) == on_every_machine


def test_words_and_lengths():
    words = "! . : a ann blue bob he house in left red saw she went".split()
    assert world().words == words
    assert world().K == 2 and world().longest_sentence == 6


def test_labelled_sentences_are_of_the_patterns_asked_for_and_balanced():
    sentences, labels = world().labelled_sentences(["{Ann} left."], "person", {"Ann": 1, "Bob": 0}, 10, seed=5)
    assert labels == [0, 1] * 5
    assert sentences == ["Bob left.", "Ann left."] * 5


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="pattern '{Ann} and {Bob}': there is no slot {Bob}"):
        world((("{Ann} and {Bob}",),))
    with pytest.raises(ValueError, match="slot it: there is no hidden variable 'thing'"):
        World(HIDDEN, {"it": Slot("thing", {"a": ["it"]})}, [["{it}"]])
    for words in ({"Ann": ["she"]}, {"Ann": ["she"], "Bob": []}, {"Ann": ["she"], "Bob": ["he"], "Cy": ["he"]}):
        with pytest.raises(ValueError, match=r"slot she: expected words for each of \('Ann', 'Bob'\)"):
            World(HIDDEN, {"she": Slot("person", words)}, [["{she}"]])


def test_a_vocabulary_that_cuts_words_is_refused():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    world().check_tokenizer(BertTokenizer([*special, *world().words]))
    short = [word for word in world().words if word != "house"]
    with pytest.raises(ValueError, match="cuts 1 of the world's 15 words into pieces, 'house' for one"):
        world().check_tokenizer(BertTokenizer([*special, *short, "hou", "##se"]))
