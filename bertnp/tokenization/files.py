"""The files a tokenizer is kept in: vocab.txt, tokenizer.json, tokenizer_config.json, and two older ones."""

import json
from pathlib import Path

from bertnp.tokenization.added_tokens import WHITE_SPACE, AddedToken

FILES = ["vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]

# A vocabulary line loses the end that its reader strips: the Rust package all white space, transformers' older code
# only the line end, Devlin et al.'s code white space on both sides.
LINE_OF_MODE = {
    "fast": lambda line: line.rstrip(WHITE_SPACE),
    "legacy": lambda line: line.rstrip("\r\n"),
    "google": lambda line: line.strip(),
}


def read_vocabulary(path, mode="fast"):
    """vocab.txt as {token: line number}; of a token on several lines the last counts."""
    lines = _read_text(path).split("\n")  # not splitlines(): some tokens are line separators
    if lines[-1] == "":
        lines.pop()
    return {LINE_OF_MODE[mode](line): number for number, line in enumerate(lines)}


def read_json(path):
    try:
        content = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} should hold a JSON object, not {type(content).__name__}")
    return content


def read_tokenizer_json(path):
    """(vocabulary, added tokens, default settings) of a tokenizer.json.

    Nothing else of it counts: transformers 5's BertTokenizer builds its own normalizer and template, too.
    """
    content = read_json(path)
    model = content.get("model")
    if not isinstance(model, dict) or not model.get("vocab"):
        raise ValueError(f"{path} holds no model with a vocabulary")
    if model.get("type", "WordPiece") != "WordPiece" or not isinstance(model["vocab"], dict):
        raise ValueError(f"{path} holds a {model.get('type', 'other')} model, and a BertTokenizer needs WordPiece")
    tokens = sorted(content.get("added_tokens") or (), key=lambda entry: entry["id"])
    settings = {}
    if content.get("truncation"):
        settings["truncation_side"] = content["truncation"].get("direction", "Right").lower()
    if content.get("padding"):
        settings["padding_side"] = content["padding"].get("direction", "Right").lower()
    return model["vocab"], [_added_token(entry) for entry in tokens], settings


def read_folder(folder):
    """Everything a folder (or a single vocab.txt or tokenizer.json) says, as keyword arguments for BertTokenizer.

    tokenizer.json gives the vocabulary and the added tokens if it is there, else vocab.txt; tokenizer_config.json the
    settings; special_tokens_map.json overrides it unless it lists added tokens itself.
    """
    folder = Path(folder)
    paths = {name: folder / name for name in FILES if (folder / name).is_file()}
    if folder.is_file():
        paths = {"tokenizer.json" if folder.suffix == ".json" else "vocab.txt": folder}
    settings = read_json(paths["tokenizer_config.json"]) if "tokenizer_config.json" in paths else {}
    if "tokenizer.json" in paths:
        vocabulary, added, defaults = read_tokenizer_json(paths["tokenizer.json"])
        settings = {**defaults, **settings}
    elif "vocab.txt" in paths:
        vocabulary, added = paths["vocab.txt"], []
    else:
        raise FileNotFoundError(f"{folder} holds neither tokenizer.json nor vocab.txt")
    listed = settings.pop("added_tokens_decoder", None)
    if listed is not None:
        added = [_added_token(entry) for _, entry in sorted(listed.items(), key=lambda item: int(item[0]))]
    else:
        if "special_tokens_map.json" in paths:
            settings.update(read_json(paths["special_tokens_map.json"]))
        if "added_tokens.json" in paths and not added:
            older = read_json(paths["added_tokens.json"])
            special = {_content(settings.get(name)) for name in settings if name.endswith("_token")}
            added = [AddedToken(token, special=token in special) for token in sorted(older, key=older.get)]
    for name, value in settings.items():
        if isinstance(value, dict) and "content" in value:
            settings[name] = _added_token({**value, "special": True})
        elif isinstance(value, list):
            settings[name] = [_added_token(entry) if isinstance(entry, dict) else entry for entry in value]
    return {**settings, "vocab": vocabulary, "added_tokens": added}


def _content(token):
    return token.get("content") if isinstance(token, dict) else token


def _added_token(entry):
    names = ("content", "single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(**{name: entry[name] for name in names if name in entry})


def _read_text(path):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}") from error
