import numpy as np
import pytest
from tiny_model import tiny_tokenizer

from bertnp.data.batches import IGNORED
from bertnp.data.tagged import encode_words, read_tagged, repair_bio, tagged_as_conll
from bertnp.data.windows import most_context


def conll(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_sentences_are_read_with_their_tags(tmp_path):
    text = "-DOCSTART- -X- O\n\nthe DT O\nfilm NN B-work\n\n \nyou PRP B-per\nand CC O\n"
    found = read_tagged(conll(tmp_path / "a.conll", text))
    assert found.words == [["the", "film"], ["you", "and"]] and found.tags == [["O", "B-work"], ["B-per", "O"]]
    assert found.lines == [3, 7] and found.notes == [] and found.is_bio
    assert found.tag_names() == ["O", "B-per", "B-work"]
    assert [list(c) for c in found.classes(["O", "B-work", "B-per"])] == [[0, 1], [2, 0]]
    parts = read_tagged(tmp_path / "a.conll", tag=2)
    assert parts.tags == [["DT", "NN"], ["PRP", "CC"]] and not parts.is_bio
    assert read_tagged(tmp_path / "a.conll", labelled=False).words == found.words
    assert tagged_as_conll(found.words, found.tags) == "the\tO\nfilm\tB-work\n\nyou\tB-per\nand\tO\n"


def test_with_tabs_a_word_may_hold_spaces_and_a_blank_line_a_tab(tmp_path):
    found = read_tagged(conll(tmp_path / "a.conll", "the film\tO\r\n\t\r\nyou\tB-per\r\n"))
    assert found.words == [["the film"], ["you"]] and found.lines == [1, 3]


def test_bio_is_repaired_and_counted(tmp_path):
    text = "a\tI-per\nb\tI-per\nc\tI-loc\nd\tO\ne\tI-loc\n\nf\tB-loc\ng\tI-loc\nh\tI-per\n"
    found = read_tagged(conll(tmp_path / "a.conll", text))
    assert found.tags == [["B-per", "I-per", "B-loc", "O", "B-loc"], ["B-loc", "I-loc", "B-per"]]
    note = "4 I- tags without a B- before them were read as B-, the first in line 1"
    assert found.notes == [f"{tmp_path / 'a.conll'}: {note}"]


def test_repaired_tags_name_the_entities_that_conlleval_sees():
    seqeval = pytest.importorskip("seqeval.metrics.sequence_labeling")
    rng = np.random.default_rng(3)
    for _ in range(200):
        tags = rng.choice(["O", "B-a", "I-a", "B-b", "I-b"], size=9).tolist()
        repaired = repair_bio(tags)
        assert seqeval.get_entities(repaired) == seqeval.get_entities(tags)
        assert repair_bio(repaired) == repaired


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tO\nb\n\nc\n", "line 2: a word without a tag: 'b' (2 such lines in all)"),
        ("a\tO\nb\t\n", "line 2: a word without a tag: 'b'"),
        ("a O\nb\n", "line 2: a word without a tag: 'b'"),
        ("\tO\n", "line 1: a word without a tag"),
        ("a\tB-per\nb\tS-per\nc\tE-per\n", "line 2: the tag 'S-per' is not of the scheme BIO: expected O, B-TYPE or "
                                            "I-TYPE (2 such tags in all)"),
        ("a\tB-per\nb\tB-\n", "line 2: the tag 'B-' is not of the scheme BIO"),
        ("\n\n", "there are no sentences in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told(tmp_path, text, message):
    with pytest.raises(ValueError) as error:
        read_tagged(conll(tmp_path / "a.conll", text))
    assert message in str(error.value) and "a.conll" in str(error.value)


def test_tags_that_are_not_known_are_counted(tmp_path):
    found = read_tagged(conll(tmp_path / "a.conll", "a\tO\n\nb\tB-per\nc\tI-per\n"))
    with pytest.raises(ValueError, match=r"line 3: unknown tag 'B-per' \(2 words with tags .* known: O, B-loc"):
        found.classes(["O", "B-loc"])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_tagged(tmp_path / "no.conll")


def test_the_first_piece_has_the_label():
    tokenizer = tiny_tokenizer()
    sentences = [["lovelys", "film"], ["\u200b", "sourly", "film"], ["\u200b"]]
    labels = [np.array([2, 1]), np.array([1, 2, 0]), np.array([1])]
    encoded = encode_words(tokenizer, sentences, labels, max_length=24)
    batch = encoded.batch([0, 1, 2])
    assert tokenizer.convert_ids_to_tokens(batch["input_ids"][0]) == ["[CLS]", "lovely", "##s", "film", "[SEP]"]
    x = IGNORED
    assert batch["labels"].tolist() == [[x, 2, x, 1, x], [x, 2, x, 0, x], [x] * 5]
    assert encoded.wordless == 2
    logits = np.arange(2.0 * encoded.lengths.sum()).reshape(-1, 2)
    merged = encoded.merge(logits)
    assert [m[:, 0].tolist() for m in merged[:1]] == [[2.0, 6.0]]
    assert np.isnan(merged[1][0]).all() and merged[1][1:, 0].tolist() == [12.0, 16.0] and np.isnan(merged[2]).all()


@pytest.mark.parametrize("stride", [0, 1, 3, 5])
def test_every_word_is_judged_once_where_it_has_most_context(stride):
    """Also where a window begins in the middle of a word."""
    tokenizer, rng = tiny_tokenizer(), np.random.default_rng(stride)
    sentences = [rng.choice(["lovelys", "sourly", "film", "awfulsly"], size=n).tolist() for n in (23, 1, 9)]
    labels = [rng.integers(0, 3, len(sentence)) for sentence in sentences]
    encoded = encode_words(tokenizer, sentences, labels, max_length=9, stride=stride)
    assert len(encoded) > 8 and encoded.wordless == 0
    seen = [[] for _ in sentences]
    for row in range(len(encoded)):
        batch = encoded.batch([row])
        places = np.flatnonzero(batch["labels"][0] != IGNORED)
        assert places.tolist() == encoded.words[row][0].tolist()
        for place, number in zip(places, encoded.words[row][1], strict=True):
            text = encoded.texts[row]
            token = tokenizer.convert_ids_to_tokens(int(batch["input_ids"][0, place]))
            assert sentences[text][number].startswith(token)
            assert batch["labels"][0, place] == labels[text][number]
            seen[text].append(number)
            left, right = place - 1, len(batch["input_ids"][0]) - 2 - place
            assert min(left, right) >= (stride - 1) // 2 or not 3 <= number < len(sentences[text]) - 3
    assert seen == [list(range(len(sentence))) for sentence in sentences]


def test_most_context_is_devlins():
    def slow(position, spans):
        """_check_is_max_context of run_squad.py, as it is described there."""
        scores = [
            min(position - start, stop - 1 - position) + 0.01 * (stop - start) if start <= position < stop else -1
            for start, stop in spans
        ]
        return scores.index(max(scores))

    for size, stride, length in ((7, 3, 40), (5, 0, 21), (9, 8, 14)):
        spans = [(start, min(start + size, length)) for start in range(0, length - stride, size - stride)]
        assert most_context(spans).tolist() == [slow(p, spans) for p in range(length)]
