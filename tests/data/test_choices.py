import json

import numpy as np
import pytest
from tiny_model import tiny_tokenizer

from bertnp.data.choices import encode_choices, read_choices


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_choices_are_read_under_their_usual_names(tmp_path):
    found = read_choices(lines(
        tmp_path / "c.jsonl",
        {"context": "the film", "choices": ["was great", "was a day"], "label": 0},
        {"article": "the film", "question": "was it", "options": ["great", "a day"], "answer": "B"},
        {"sent1": "the film", "sent2": "it", "ending0": "was great", "ending1": "is a day", "label": "1"},
        {"question": "is it a day", "choices": ["great", "poor"], "answer": "poor"},
    ))  # fmt: skip
    assert found.contexts == ["the film", "the film", "the film", "is it a day"] and found.labels == [0, 1, 1, 1]
    assert found.options[1:3] == [["was it great", "was it a day"], ["it was great", "it is a day"]]
    assert found.select([3]).options == [["great", "poor"]]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"context": "a", "choices": ["b", "c", "d"], "label": 0}, "3 choices, but line 1 has 2; all need as many"),
        ({"context": "a", "choices": ["b"], "label": 0}, "expected two choices or more"),
        ({"context": "a", "choices": ["b", " "], "label": 0}, "a choice is blank"),
        ({"context": "a", "choices": ["b", 3], "label": 0}, "expected text, got 3"),
        ({"choices": ["b", "c"], "label": 0}, 'expected a "context" or a "question"'),
        ({"context": "a", "choices": ["b", "c"], "label": 2}, "expected as label a choice's place (0..1)"),
        ({"context": "a", "choices": ["b", "c"], "label": "x"}, "letter or text, got 'x'"),
        ({"context": "a", "choices": ["b", "c"]}, "got None"),
        ([], "expected an object"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, record, message):
    file = lines(tmp_path / "c.jsonl", {"context": "the", "choices": ["a", "b"], "label": 0}, record)
    with pytest.raises(ValueError) as error:
        read_choices(file)
    assert str(error.value).startswith(f"{file}, line 2: ") and message in str(error.value)


def test_rows_of_choices():
    tokenizer = tiny_tokenizer()
    options = [["great", "very great"], ["a day", "dull"]]
    encoded = encode_choices(tokenizer, ["the film was", "it is"], options, [1, 0], max_length=24)
    batch = encoded.batch([1, 0])
    assert batch["input_ids"].shape == (2, 2, 8) and batch["labels"].tolist() == [0, 1]
    for b, (context, endings) in enumerate((("it is", options[1]), ("the film was", options[0]))):
        for c, ending in enumerate(endings):
            single = tokenizer(context, ending)
            n = len(single["input_ids"])
            for name in ("input_ids", "token_type_ids", "attention_mask"):
                assert batch[name][b, c, :n].tolist() == single[name] and not batch[name][b, c, n:].any()
    assert len(encoded) == 2 and encoded.lengths.tolist() == [8, 7]
    logits = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert encoded.merge(logits) is logits


def test_all_choices_see_the_same_windows():
    tokenizer = tiny_tokenizer()
    context = "the film was very very sweet and the song was dull"
    encoded = encode_choices(tokenizer, ["it", context], [["a", "very great"]] * 2, [0, 1], max_length=10, stride=2)
    assert encoded.texts.tolist() == [0] + [1] * (len(encoded) - 1) and len(encoded) > 3
    words = []
    for row in range(1, len(encoded)):
        ids = encoded.batch([row])["input_ids"][0]
        first, second = (tokenizer.decode(row).split(" [SEP]")[0] for row in ids)
        assert first == second and (encoded.lengths <= 10).all()
        words += first.split()[1 + 2 * (row > 1) :]
    assert " ".join(words) == context
    logits = np.arange(2.0 * len(encoded)).reshape(-1, 2)
    np.testing.assert_allclose(encoded.merge(logits)[1], logits[1:].mean(axis=0))
