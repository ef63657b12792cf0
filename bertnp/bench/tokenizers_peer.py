"""The tokenizers package on the same lines, its ids as Python lists like ours. Run by `running`."""

import hashlib

import tokenizers

from bertnp.bench.measuring import serve


def prepare(request):
    with open(request["vocabulary"], encoding="utf-8", newline="") as file:
        vocabulary = {token: number for number, token in enumerate(file.read().split("\n")) if token}
    model = tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    with open(request["lines"], encoding="utf-8", newline="") as file:
        lines = file.read().split("\n")
    answers = []

    def in_one_batch():
        answers[:] = [found.ids for found in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]

    def line_by_line():
        answers[:] = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]

    run = line_by_line if request["side"] == "tokenizers-single" else in_one_batch
    run()
    fingerprint = int(hashlib.sha256(repr(answers).encode()).hexdigest()[:12], 16)
    return run, {"check": [fingerprint], "versions": {"tokenizers": tokenizers.__version__}, "blas": {}}


if __name__ == "__main__":
    serve(prepare)
