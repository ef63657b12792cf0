"""Write expected.json anew: what transformers' BertTokenizer answers for the shared texts and calls.

Run: python tests/tokenization/make_expected.py
"""

import json
from pathlib import Path

from samples import ANSWERS, CALLS, TRICKY, small_vocabulary
from transformers import BertTokenizer

TARGET = Path(__file__).with_name("expected.json")


def flat(offsets):
    return [number for pair in offsets for number in pair]


def expected():
    answers = {}
    for case, lower in (("uncased", True), ("cased", False)):
        vocabulary = {token: identity for identity, token in enumerate(small_vocabulary())}
        tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=lower)
        texts = []
        for text in TRICKY:
            encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            texts.append([encoding["input_ids"], flat(encoding["offset_mapping"]), encoding.word_ids()])
        answers[case] = {
            "texts": texts,
            "decoded": [tokenizer.decode(ids) for ids, _, _ in texts],
            "calls": [dict(tokenizer(*texts, **settings, **ANSWERS)) for texts, settings in CALLS if lower],
        }
    return answers


if __name__ == "__main__":
    with open(TARGET, "w", encoding="utf-8", newline="\n") as file:
        json.dump(expected(), file, separators=(",", ":"))
        file.write("\n")
