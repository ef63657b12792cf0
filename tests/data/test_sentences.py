"""Sentences are cut where a reader would, by the rule that split_sentences states."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertnp.data import split_sentences

CUT = "|"  # stands in the cases where a sentence is expected to end


@pytest.mark.parametrize(
    "text",
    [
        "He came.| She saw!| They left?| So… |And then?! |No.",
        "It cost 3.14 pounds.| 7 of them came.| $5 was paid.",
        "Mr. Darcy met Mrs. Bennet and Dr. Watson on St. James's.| MR. SHERLOCK HOLMES came.",
        "J. R. Smith of the U.S. Army wrote it, cf. Jones et al. (1999) and i.e. Nobody.",
        "He lives at No. 7, Saville Row.| No.| Never.| See fig. 3 and vol. 12.| It was on Jan. 5.",
        "So did I.| He went at 4 p.m.| They stayed; at 5 a.m. he left, &c. |She too.",
        '"Stop!" she said.| "Go on."| "Why?"| (He did.)| [So.]| "Oh dear!| Oh dear!| I shall be late!"| Then it went.',
        "“Stop.”| “Go.”| «Oui.»| ‘tis late.",
        "He stopped.| 'tis late.| \"and so on\".",
        "Well... |I know . . . |Then he went.",
        "今日は雨です。|明日は？|「行く！」|と言った。|ＡＢＣ！？|終わり",
        "她说：“好。”|他走了……然后！|完",
        "यह है।| वह है।",
        "He left.--She came. and so on; file.txt is www.example.com.",
        "the dog barks . |The cat \" Tom . \" |He said \" no \" . |\" Yes \" , she said ( and left . ) |So .",
        "Only one",
        "",
        "1801. |--I have it.--You?| —Not I.",
    ],
)  # fmt: skip
def test_where_sentences_end(text):
    expected = [part.strip() for part in text.split(CUT)]
    assert split_sentences(text.replace(CUT, "")) == [part for part in expected if part]


def test_what_has_no_letter_or_digit_is_left_out():
    assert split_sentences("Yes. … — ! No.") == ["Yes. … — !", "No."]
    assert split_sentences('* * *! "') == []


@given(st.text(alphabet="aB1. !?…\"')(。」Mr", max_size=60))
def test_nothing_is_lost_or_changed(text):
    sentences = split_sentences(text)
    place = 0
    for sentence in sentences:
        found = text.index(sentence, place)
        assert not any(map(str.isalnum, text[place:found]))
        place = found + len(sentence)
    assert not any(map(str.isalnum, text[place:]))


@pytest.mark.parametrize("piece", [".", '. " ', '"', ". ", "a. ", "Mr. ", "。", ". ) x", "  ", ".'"])
def test_no_text_takes_long(piece):
    start = time.perf_counter()
    split_sentences(piece * (100_000 // len(piece)))
    assert time.perf_counter() - start < 10  # it takes a tenth of a second; quadratic time would be many minutes
