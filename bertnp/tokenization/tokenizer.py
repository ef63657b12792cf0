"""BertTokenizer: text to the ids a BERT checkpoint was trained on, and back."""

import gc
import inspect
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from itertools import product
from pathlib import Path

import numpy as np

from bertnp.backend.files import write_text
from bertnp.tokenization import files
from bertnp.tokenization.added_tokens import AddedToken, AddedTokens
from bertnp.tokenization.encoding import BatchEncoding, EncodedText, Part, assemble, outside_text
from bertnp.tokenization.normalization import Normalizer
from bertnp.tokenization.truncation import kept_lengths, windows
from bertnp.tokenization.variants import LONGEST_WORD, basic_words
from bertnp.tokenization.wordpiece import WordPiece

NO_LIMIT = int(1e30)  # model_max_length where none is known
SPECIAL_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
PADDINGS = ("longest", "max_length", "do_not_pad")
TRUNCATIONS = ("longest_first", "only_first", "only_second", "do_not_truncate")

# Most text is ASCII without control characters, and its words are found quickly: there is nothing to normalize.
NOT_PLAIN = re.compile(r"[^\t\n\r -~]")
PLAIN_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")


class BertTokenizer:
    """Text to token ids and back, token for token as BertTokenizer of transformers 5.

    vocab: path of a vocab.txt, or {token: id}, or a list of tokens.
    do_lower_case, strip_accents (None: as do_lower_case), tokenize_chinese_chars: see Normalizer.
    mode: "fast" (as above), "google" or "legacy" (see variants.py: no offsets, no overflowing windows).
    added_tokens: more AddedTokens to find in the raw text. model_max_length: the longest row the model takes.

        tokenizer = BertTokenizer.from_pretrained(folder)
        batch = tokenizer(["Hello world", "Hi"], padding=True, return_tensors="np")
        batch.input_ids                       # (B, S) int64
        tokenizer.decode(batch.input_ids[0])  # "[CLS] hello world [SEP]"
    """

    pad_token_type_id = 0

    def __init__(
        self,
        vocab,
        do_lower_case=True,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        tokenize_chinese_chars=True,
        strip_accents=None,
        *,
        bos_token=None,
        eos_token=None,
        extra_special_tokens=None,
        added_tokens=(),
        model_max_length=None,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=None,
        split_special_tokens=False,
        model_input_names=("input_ids", "token_type_ids", "attention_mask"),
        mode="fast",
    ):
        if mode not in LONGEST_WORD:
            raise ValueError(f"mode={mode!r}: must be one of {', '.join(LONGEST_WORD)}")
        self.mode = mode
        self.do_lower_case = do_lower_case
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = strip_accents
        self.padding_side = _one_of("padding_side", padding_side, ("right", "left"))
        self.truncation_side = _one_of("truncation_side", truncation_side, ("right", "left"))
        self.model_max_length = NO_LIMIT if model_max_length is None else int(model_max_length)
        self.clean_up_tokenization_spaces = (
            mode != "fast" if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        self.split_special_tokens = split_special_tokens
        self.model_input_names = list(model_input_names)
        self._other_settings = {}
        self._warned_too_long = False

        self._vocabulary = _checked_vocabulary(vocab, mode)
        self._base_tokens = {identity: token for token, identity in self._vocabulary.items()}
        named = {
            name: token
            for name, token in zip(
                SPECIAL_TOKEN_NAMES,
                (bos_token, eos_token, unk_token, sep_token, pad_token, cls_token, mask_token),
                strict=True,
            )
        }
        for name, token in named.items():
            setattr(self, name, None if token is None else str(token))
        extra = list(extra_special_tokens or ())
        self.extra_special_tokens = [str(token) for token in extra]

        known = {token.content for token in added_tokens} | set(self._vocabulary)
        for name in ("unk_token", "cls_token", "sep_token"):
            token = getattr(self, name)
            if token not in (self._vocabulary if name == "unk_token" else known):
                raise ValueError(f"the vocabulary of {len(self._vocabulary)} tokens has no {token!r} ({name})")
        normalizer = Normalizer(do_lower_case, strip_accents, tokenize_chinese_chars)
        self._normalizer = normalizer
        self._wordpiece = WordPiece(self._vocabulary, self.unk_token, LONGEST_WORD[mode])
        self._added = AddedTokens(self._vocabulary, normalizer)
        special = {str(token) for token in named.values() if token is not None}
        self._added.add([token.settled(token.special or token.content in special) for token in added_tokens])
        for token in [*named.values(), *extra]:
            if token is not None and str(token) not in self._added.ids:
                self._added.add([_as_added_token(token).settled(special=True)])

    # ---- files -----------------------------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name_or_folder, *, revision=None, cache_dir=None, local_files_only=False, **settings):
        """Load a tokenizer from a folder (vocab.txt or tokenizer.json and their companions), a file, or by name.

        A name that is no folder is fetched through huggingface_hub. Keyword arguments of the constructor override
        what the files say.
        """
        folder = Path(name_or_folder)
        if not folder.exists():
            from bertnp.backend.hub import fetch_pretrained

            folder = fetch_pretrained(name_or_folder, files.FILES, revision, cache_dir, local_files_only)
        found = files.read_folder(folder)
        if "additional_special_tokens" in found:  # the older name
            older = found.pop("additional_special_tokens")
            found["extra_special_tokens"] = found.get("extra_special_tokens") or older
        if "max_len" in found:
            found.setdefault("model_max_length", found.pop("max_len"))
        names = inspect.signature(cls).parameters
        tokenizer = cls(**{name: value for name, value in found.items() if name in names} | settings)
        not_kept = ("tokenizer_class", "name_or_path", "special_tokens_map_file", "tokenizer_file", "vocab_file")
        tokenizer._other_settings = {
            name: value for name, value in found.items() if name not in names and name not in not_kept
        }
        return tokenizer

    def save_pretrained(self, folder):
        """Write vocab.txt, tokenizer_config.json and tokenizer.json, which transformers loads too; return the paths."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for token in self._vocabulary:
            if "\n" in token:
                raise ValueError(f"token {token!r} has a line break, and vocab.txt holds one token a line")
        # A number that no token has keeps its line, empty, so that the others keep their numbers.
        lines = [self._base_tokens.get(identity, "") + "\n" for identity in range(max(self._base_tokens) + 1)]
        settings = self._other_settings | {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.do_lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
            "model_max_length": self.model_max_length,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            **self.special_tokens_map,
        }
        if self.extra_special_tokens:
            settings["extra_special_tokens"] = self.extra_special_tokens
        if self.split_special_tokens:
            settings["split_special_tokens"] = True
        if self.mode != "fast":
            settings["mode"] = self.mode
        texts = {
            "vocab.txt": "".join(lines),
            "tokenizer_config.json": json.dumps(settings, indent=2, sort_keys=True, ensure_ascii=False) + "\n",
            "tokenizer.json": json.dumps(self._as_json(), indent=2, ensure_ascii=False),
        }
        for name, text in texts.items():
            write_text(folder / name, text)
        return tuple(str(folder / name) for name in texts)

    def _as_json(self):
        """tokenizer.json, as the Rust package writes it."""

        def special(token, type_id):
            return {"SpecialToken": {"id": token, "type_id": type_id}}

        def sequence(name, type_id):
            return {"Sequence": {"id": name, "type_id": type_id}}

        cls, sep = self.cls_token, self.sep_token
        single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": self._added.as_json(),
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": self.tokenize_chinese_chars,
                "strip_accents": self.strip_accents,
                "lowercase": self.do_lower_case,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": [*single, sequence("B", 1), special(sep, 1)],
                "special_tokens": {
                    token: {"id": token, "ids": [self.convert_tokens_to_ids(token)], "tokens": [token]}
                    for token in (cls, sep)
                },
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": self.unk_token,
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": LONGEST_WORD["fast"],
                "vocab": dict(sorted(self._vocabulary.items(), key=lambda item: item[1])),
            },
        }

    # ---- vocabulary ------------------------------------------------------------------------------------------------

    @property
    def vocab_size(self):
        """Tokens of the base vocabulary, without the added ones."""
        return len(self._vocabulary)

    def __len__(self):
        """Tokens of the base vocabulary and the added ones: the rows an embedding needs."""
        return len(self.get_vocab())

    def __bool__(self):
        return True

    def get_vocab(self):
        """{token: id}, added tokens included."""
        return self._vocabulary | self._added.ids

    @property
    def vocab(self):
        return self.get_vocab()

    def get_added_vocab(self):
        """{token: id} of the added tokens."""
        return {token.content: identity for identity, token in sorted(self._added.by_id.items())}

    @property
    def added_tokens_decoder(self):
        """{id: AddedToken}."""
        return dict(sorted(self._added.by_id.items()))

    def __getattr__(self, name):
        # unk_token_id, cls_token_id and so on follow from unk_token, cls_token ...
        if name.removesuffix("_id") in SPECIAL_TOKEN_NAMES and name.endswith("_id"):
            token = getattr(self, name.removesuffix("_id"))
            return None if token is None else self.convert_tokens_to_ids(token)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def special_tokens_map(self):
        """{"cls_token": "[CLS]", ...}."""
        named = {name: getattr(self, name) for name in SPECIAL_TOKEN_NAMES}
        return {name: token for name, token in named.items() if token is not None}

    @property
    def all_special_tokens(self):
        return list(dict.fromkeys([*self.special_tokens_map.values(), *self.extra_special_tokens]))

    @property
    def all_special_ids(self):
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def add_tokens(self, new_tokens, special_tokens=False):
        """Add tokens (str or AddedToken, one or several) that are found in the text as they stand; return how many.

        What the vocabulary lacks gets new ids at its end, so the model's embeddings must grow too.
        """
        if isinstance(new_tokens, (str, AddedToken)):
            new_tokens = [new_tokens]
        tokens = [_as_added_token(token) for token in new_tokens]
        return self._added.add([token.settled(special_tokens or token.special) for token in tokens])

    def add_special_tokens(self, special_tokens_dict, replace_extra_special_tokens=True):
        """Name special tokens, {"mask_token": "<mask>", "extra_special_tokens": [...]}, and add them."""
        to_add = []
        for name, value in special_tokens_dict.items():
            if name in ("extra_special_tokens", "additional_special_tokens"):
                if isinstance(value, str):
                    raise TypeError(f"{name} must be a list of tokens, not the text {value!r}")
                contents = [str(token) for token in value]
                if replace_extra_special_tokens and contents:
                    self.extra_special_tokens = []
                self.extra_special_tokens += [token for token in contents if token not in self.extra_special_tokens]
                to_add += value
            elif name in SPECIAL_TOKEN_NAMES:
                to_add.append(value)
                setattr(self, name, _as_added_token(value).content)
            else:
                allowed = ", ".join([*SPECIAL_TOKEN_NAMES, "extra_special_tokens"])
                raise ValueError(f"{name!r} is no kind of special token: give one of {allowed}")
        return self.add_tokens(to_add, special_tokens=True)

    def convert_tokens_to_ids(self, tokens):
        """Id of a token, or ids of several; an unknown token gets the id of unk_token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        identity = self._id(tokens)
        return self._id(self.unk_token) if identity is None else identity

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """Token of an id, or tokens of several; None for an id that no token has."""
        if isinstance(ids, (int, np.integer)):
            return self._token(int(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        return [self._token(int(identity)) for identity in ids if int(identity) not in skipped]

    def _id(self, token):
        return self._added.ids.get(token, self._vocabulary.get(token))

    def _token(self, identity):
        if identity < 0:
            raise ValueError(f"{identity} is no token id: ids are not negative")
        added = self._added.token(identity)
        return self._base_tokens.get(identity) if added is None else added

    # ---- text to ids -----------------------------------------------------------------------------------------------

    def __call__(
        self,
        text,
        text_pair=None,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
        is_split_into_words=False,
        pad_to_multiple_of=None,
        padding_side=None,
        return_tensors=None,
        return_token_type_ids=None,
        return_attention_mask=None,
        return_overflowing_tokens=False,
        return_special_tokens_mask=False,
        return_offsets_mapping=False,
        return_length=False,
        split_special_tokens=None,
        verbose=True,
    ):
        """Tokenize a text, a pair, a list of texts, or a list of pairs.

        text, text_pair: str; or lists of the same length; or, as `text`, a list of (first, second). With
            is_split_into_words each text is a list of words instead.
        padding: False; True or "longest" (of the batch); "max_length". pad_to_multiple_of rounds that length up.
        truncation: False; True or "longest_first"; "only_first"; "only_second". To max_length, or without it to
            model_max_length; if that isn't known either, nothing is padded or cut. max_length alone means
            truncation=True.
        stride: tokens that neighbouring windows share; return_overflowing_tokens gives all windows over a text, and
            overflow_to_sample_mapping says whose they are.
        return_tensors: "np" for int64 arrays (B, S), None for lists; a single text then has no batch axis.

        Returns a BatchEncoding: input_ids, token_type_ids, attention_mask, and what else was asked for.
        """
        padding, truncation, max_length = self._strategies(padding, truncation, max_length, pad_to_multiple_of, verbose)
        if stride < 0:
            raise ValueError(f"stride={stride} must not be negative")
        if self.mode != "fast" and (return_offsets_mapping or return_overflowing_tokens):
            raise ValueError(f"mode={self.mode!r} knows no offsets and no overflowing windows; mode='fast' does")
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        padding_side = _one_of("padding_side", padding_side or self.padding_side, ("right", "left"))
        rows, is_batch = _rows(text, text_pair, is_split_into_words)

        special = self._special_parts() if add_special_tokens else None
        with garbage_collection_paused() if is_batch else nullcontext():
            encodings = []
            for row in rows:
                texts = [self._encode_text(text, split_special_tokens) for text in row if text is not None]
                encodings.append(self._encoding(texts, special, truncation, max_length, stride))
            if verbose and max_length is None:
                self._warn_if_too_long(encodings)
            if padding != "do_not_pad" and encodings:
                length = max_length if padding == "max_length" else max(map(len, encodings))
                length = _round_up(length, pad_to_multiple_of)
                fill = (padding_side, self.pad_token, self.pad_token_id, self.pad_token_type_id)
                encodings = [encoding.padded(length, *fill) for encoding in encodings]

            samples = list(range(len(encodings)))
            if return_overflowing_tokens:
                samples = [row for row, encoding in enumerate(encodings) for _ in range(1 + len(encoding.overflowing))]
                encodings = [window for encoding in encodings for window in (encoding, *encoding.overflowing)]
            data = {"input_ids": [encoding.ids for encoding in encodings]}
            if self._wants(return_token_type_ids, "token_type_ids"):
                data["token_type_ids"] = [encoding.type_ids for encoding in encodings]
            if self._wants(return_attention_mask, "attention_mask"):
                data["attention_mask"] = [encoding.attention_mask for encoding in encodings]
            if return_special_tokens_mask:
                data["special_tokens_mask"] = [encoding.special_tokens_mask for encoding in encodings]
            if return_offsets_mapping:
                data["offset_mapping"] = [encoding.offsets for encoding in encodings]
            if return_length:
                data["length"] = [len(encoding) for encoding in encodings]
            if return_overflowing_tokens:
                data["overflow_to_sample_mapping"] = samples
        if not is_batch and return_tensors is None and not return_overflowing_tokens:
            data = {name: values[0] if isinstance(values[0], list) else values for name, values in data.items()}
        return BatchEncoding(data, encodings if self.mode == "fast" else None, tensor_type=return_tensors)

    def encode(self, text, text_pair=None, **settings):
        """The ids alone: tokenizer(text, text_pair, ...).input_ids."""
        ids_only = {"return_token_type_ids": False, "return_attention_mask": False}
        return self(text, text_pair, **ids_only | settings)["input_ids"]

    def tokenize(self, text, pair=None, add_special_tokens=False, **settings):
        """The tokens of a text (or pair) as strings."""
        if self.mode == "fast":
            return self(text, pair, add_special_tokens=add_special_tokens, **settings).tokens()
        return self.convert_ids_to_tokens(self.encode(text, pair, add_special_tokens=add_special_tokens, **settings))

    def words(self, text):
        """The words of a text, normalized, before they are cut into pieces; added tokens are left out.

        "Hello [MASK], you!" -> ["hello", ",", "you", "!"]
        """
        if self.mode != "fast":
            settings = (self.mode, self.do_lower_case, self.strip_accents, self.tokenize_chinese_chars)
            parts = [(None, 0, len(text))] if self.mode == "google" else self._added.split(text)
            spans = [(start, stop) for identity, start, stop in parts if identity is None]
            return [word for start, stop in spans for word in basic_words(text[start:stop], *settings)]
        find_words = self._normalizer.characters.words.findall
        segments = self._segments(text, self.split_special_tokens, with_positions=False)
        return [word for identity, segment, _ in segments if identity is None for word in find_words(segment)]

    def num_special_tokens_to_add(self, pair=False):
        """[CLS] and one [SEP], or two."""
        return 3 if pair else 2

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]."""
        row = [self.cls_token_id, *token_ids_0, self.sep_token_id]
        return row if token_ids_1 is None else [*row, *token_ids_1, self.sep_token_id]

    def get_special_tokens_mask(self, token_ids_0, token_ids_1=None, already_has_special_tokens=False):
        """1 for special tokens, 0 for text: of a finished row, or of the row these texts will make."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(int(identity) in special) for identity in token_ids_0]
        mask = [1] + [0] * len(token_ids_0) + [1]
        return mask if token_ids_1 is None else mask + [0] * len(token_ids_1) + [1]

    def _wants(self, asked, name):
        return name in self.model_input_names if asked is None else asked

    def _strategies(self, padding, truncation, max_length, pad_to_multiple_of, verbose=True):
        """(padding, truncation, max_length) in plain words."""
        if max_length is not None and padding is False and truncation is None:
            truncation = True
        if padding is True and max_length is not None and truncation in (None, False, "do_not_truncate") and verbose:
            warnings.warn("max_length has no effect with padding=True; padding='max_length' uses it", stacklevel=3)
        padding = _one_of("padding", padding, PADDINGS) if isinstance(padding, str) else PADDINGS[0 if padding else -1]
        truncation = (
            _one_of("truncation", truncation, TRUNCATIONS)
            if isinstance(truncation, str)
            else TRUNCATIONS[0 if truncation else -1]
        )
        if max_length is None:
            if self.model_max_length < NO_LIMIT // 10**10:
                if padding == "max_length" or truncation != "do_not_truncate":
                    max_length = self.model_max_length
            else:
                padding = "do_not_pad" if padding == "max_length" else padding
                truncation = "do_not_truncate"
        elif max_length < 0:
            raise ValueError(f"max_length={max_length} must not be negative")
        if padding != "do_not_pad" and self.pad_token is None:
            raise ValueError("padding needs a pad_token, and this tokenizer has none")
        both = padding != "do_not_pad" and truncation != "do_not_truncate"
        if both and pad_to_multiple_of and max_length is not None and max_length % pad_to_multiple_of:
            raise ValueError(
                f"max_length={max_length} is no multiple of pad_to_multiple_of={pad_to_multiple_of}: "
                "rows cannot be cut to the one and padded to the other"
            )
        return padding, truncation, max_length

    def _warn_if_too_long(self, encodings):
        longest = max(map(len, encodings), default=0)
        if longest > self.model_max_length > 0 and not self._warned_too_long:
            self._warned_too_long = True
            warnings.warn(
                f"a row of {longest} tokens is longer than the {self.model_max_length} the model takes: "
                "give truncation=True",
                stacklevel=3,
            )

    def _encode_text(self, text, split_special_tokens):
        """One text (str, or list of words) as an EncodedText, without special tokens around it."""
        if self.mode != "fast":
            words = [text] if isinstance(text, str) else text
            ids = [identity for word in words for identity in self._variant_ids(word, split_special_tokens)]
            return EncodedText(ids, describe=None)
        if isinstance(text, str):
            ids = self._ids(text, split_special_tokens)
        else:
            ids = [identity for word in text for identity in self._ids(word, split_special_tokens)]
        return EncodedText(ids, self._describe, text, split_special_tokens)

    def _segments(self, text, split_special_tokens, with_positions):
        """`text` cut at added tokens: (id of the added token or None, normalized text, positions of its characters)."""
        for identity, start, stop in self._added.split(text, skip_special=split_special_tokens):
            segment = text[start:stop]
            if identity is not None:
                yield identity, segment, range(start, stop)
                continue
            if with_positions:
                normalized, positions = self._normalizer.with_positions(segment)
                positions = [start + position for position in positions] if start else positions
            else:
                normalized, positions = self._normalizer(segment), range(len(segment))
            for identity, first, last in self._added.split(normalized, True, split_special_tokens):
                yield identity, normalized[first:last], positions[first:last]

    def _ids(self, text, split_special_tokens):
        """Ids alone: what training needs, without the bookkeeping of `_describe`."""
        ids, known = [], self._wordpiece.known_ids
        if not (NOT_PLAIN.search(text) or self._added.may_be_in(text)):
            for word in PLAIN_WORDS.findall(text.lower() if self.do_lower_case else text):
                ids += known[word]
            return ids
        find_words = self._normalizer.characters.words.findall
        for identity, segment, _ in self._segments(text, split_special_tokens, with_positions=False):
            if identity is not None:
                ids.append(identity)
                continue
            for word in find_words(segment):
                ids += known[word]
        return ids

    def _describe(self, text, split_special_tokens):
        """(tokens, offsets, word numbers) of a text; of a list of words, with offsets inside each word."""
        tokens, offsets, numbers = [], [], []
        if not isinstance(text, str):
            for number, word in enumerate(text):
                word_tokens, word_offsets, _ = self._describe(word, split_special_tokens)
                tokens += word_tokens
                offsets += word_offsets
                numbers += [number] * len(word_tokens)
            return tokens, offsets, numbers
        number = 0
        for identity, segment, positions in self._segments(text, split_special_tokens, with_positions=True):
            if identity is not None:
                tokens.append(segment)
                offsets.append((positions[0], positions[-1] + 1))
                numbers.append(number)
                number += 1
                continue
            for match in self._normalizer.characters.words.finditer(segment):
                word, start = self._wordpiece(match.group()), match.start()
                begin = start
                for token, end in zip(word.tokens, word.ends, strict=True):
                    tokens.append(token)
                    offsets.append((positions[begin], positions[start + end - 1] + 1))
                    begin = start + end
                numbers += [number] * len(word.tokens)
                number += 1
        return tokens, offsets, numbers

    def _variant_ids(self, text, split_special_tokens):
        """Ids in the modes "google" and "legacy"."""
        ids = []
        whole = self.mode == "google" or split_special_tokens
        for identity, start, stop in [(None, 0, len(text))] if whole else self._added.split(text):
            if identity is not None:
                ids.append(identity)
                continue
            for word in basic_words(
                text[start:stop], self.mode, self.do_lower_case, self.strip_accents, self.tokenize_chinese_chars
            ):
                ids.extend(self._wordpiece(word).ids)
        return ids

    def _special_parts(self):
        """[CLS], and the [SEP]s after a first and a second text."""
        cls = outside_text(self.cls_token, self.cls_token_id)
        sep = outside_text(self.sep_token, self.sep_token_id)
        return Part(cls, 0, 1, 0, None), Part(sep, 0, 1, 0, None), Part(sep, 0, 1, 1, None)

    def _encoding(self, texts, special, truncation, max_length, stride):
        """One EncodedText or two, cut to length: the Encoding of the first window, the others in its `overflowing`.

        special: what `_special_parts` gives, or None
        """
        lengths = [len(text.ids) for text in texts]
        if truncation == "do_not_truncate":
            return assemble(texts, [(0, length) for length in lengths], special)
        added = self.num_special_tokens_to_add(len(texts) == 2) if special else 0
        room = max_length - added
        if room < 0:
            raise ValueError(f"max_length={max_length} has no room for the {added} special tokens")
        if stride and stride >= room:
            raise ValueError(f"stride={stride} must be smaller than max_length less the special tokens, {room}")
        tie = "second" if self.mode == "fast" else "first"
        kept = kept_lengths(lengths[0], lengths[1] if len(texts) == 2 else None, room, truncation, tie)
        spans = [
            windows(length, size, stride, self.truncation_side)
            for length, size in zip(lengths, kept, strict=False)  # the second size is None where there is one text
        ]
        # Every window of the first text meets every window of the second; its own first window comes last.
        first, *others = product(*spans)
        later = [chosen for chosen in others if chosen[0] != first[0]]
        later += [chosen for chosen in others if chosen[0] == first[0]]
        encoding = assemble(texts, first, special)
        encoding.overflowing = [assemble(texts, chosen, special) for chosen in later]
        return encoding

    # ---- padding rows that are ids already ---------------------------------------------------------------------------

    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length=None,
        pad_to_multiple_of=None,
        padding_side=None,
        return_attention_mask=None,
        return_tensors=None,
        verbose=True,
    ):
        """Pad rows tokenized before: one dictionary of rows, or a list of one dictionary each (a data loader's batch).

        input_ids, token_type_ids, attention_mask and special_tokens_mask are padded; other entries stay as they are.
        """
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs and isinstance(encoded_inputs[0], Mapping):
            encoded_inputs = {name: [row[name] for row in encoded_inputs] for name in encoded_inputs[0]}
        if not isinstance(encoded_inputs, Mapping) or "input_ids" not in encoded_inputs:
            raise ValueError("pad needs a dictionary (or a list of them) with 'input_ids'")
        came_as_arrays = any(
            isinstance(values, np.ndarray) or (len(values) and isinstance(values[0], np.ndarray))
            for values in encoded_inputs.values()
            if hasattr(values, "__len__")
        )
        if came_as_arrays and return_tensors is None:
            return_tensors = "np"
        inputs = {name: _as_lists(values) for name, values in encoded_inputs.items()}
        if not inputs["input_ids"]:
            return BatchEncoding(inputs, tensor_type=return_tensors)
        is_batch = isinstance(inputs["input_ids"][0], list)
        if not is_batch:
            inputs = {name: [values] for name, values in inputs.items()}
        rows = inputs["input_ids"]
        for name, values in inputs.items():
            if len(values) != len(rows):
                raise ValueError(f"{name!r} has {len(values)} rows, 'input_ids' has {len(rows)}")

        padding, _, max_length = self._strategies(padding, None, max_length, None, verbose)
        padding_side = _one_of("padding_side", padding_side or self.padding_side, ("right", "left"))
        if self._wants(return_attention_mask, "attention_mask") and "attention_mask" not in inputs:
            inputs["attention_mask"] = [[1] * len(row) for row in rows]
        if padding != "do_not_pad":
            length = max_length if padding == "max_length" else max(map(len, rows))
            missing = [max(0, _round_up(length, pad_to_multiple_of) - len(row)) for row in rows]
            fill = {
                "input_ids": self.pad_token_id,
                "token_type_ids": self.pad_token_type_id,
                "attention_mask": 0,
                "special_tokens_mask": 1,
            }
            for name in fill.keys() & inputs.keys():
                padded = [[fill[name]] * count for count in missing]
                sides = (inputs[name], padded) if padding_side == "right" else (padded, inputs[name])
                inputs[name] = [left + right for left, right in zip(*sides, strict=True)]
        if not is_batch:
            inputs = {name: values[0] for name, values in inputs.items()}
        return BatchEncoding(inputs, tensor_type=return_tensors)

    # ---- ids to text -------------------------------------------------------------------------------------------------

    def decode(self, token_ids, skip_special_tokens=False, clean_up_tokenization_spaces=None):
        """Text of ids; of several rows, a list of texts. Ids that no token has are left out.

        Spaces before punctuation go away token by token; clean_up_tokenization_spaces does it over the whole text
        ("don ' t" -> "don't"). Lower-casing and accents don't come back.
        """
        if isinstance(token_ids, Mapping):
            token_ids = token_ids["input_ids"]
        token_ids = _as_lists(token_ids)
        if isinstance(token_ids, list) and token_ids and isinstance(token_ids[0], list):
            return [self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in token_ids]
        tokens = self.convert_ids_to_tokens([token_ids] if isinstance(token_ids, int) else token_ids)
        skipped = self._added.special if skip_special_tokens else ()
        text = self.convert_tokens_to_string([token for token in tokens if token is not None and token not in skipped])
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return _clean_up(text) if clean_up_tokenization_spaces else text

    def batch_decode(self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None):
        """Texts of several rows of ids."""
        texts = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [texts] if isinstance(texts, str) else texts

    def convert_tokens_to_string(self, tokens):
        """Join tokens with spaces, "##" pieces without."""
        if self.mode != "fast":
            return " ".join(tokens).replace(" ##", "").strip()
        parts = []
        for number, token in enumerate(tokens):
            if number:
                token = token[2:] if token.startswith("##") else " " + token
            parts.append(_clean_up(token).replace(" do not", " don't"))
        return "".join(parts)

    def __repr__(self):
        return (
            f"BertTokenizer(vocab_size={self.vocab_size}, mode={self.mode!r}, do_lower_case={self.do_lower_case}, "
            f"model_max_length={self.model_max_length}, special_tokens={self.special_tokens_map})"
        )


@contextmanager
def garbage_collection_paused():
    """Python looks for garbage after so many new objects; none of those made here is any, and looking takes long."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _clean_up(text):
    for before, after in (
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"),
        (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ):  # fmt: skip
        text = text.replace(before, after)
    return text


def _checked_vocabulary(vocab, mode):
    """{token: id} from a path, a dictionary or a list."""
    if isinstance(vocab, (str, Path)):
        if not Path(vocab).is_file():
            raise FileNotFoundError(f"there is no vocabulary file {str(vocab)!r}")
        source, vocab = str(vocab), files.read_vocabulary(vocab, mode)
    elif isinstance(vocab, Mapping):
        source, vocab = "vocab", dict(vocab)
    elif isinstance(vocab, (list, tuple)):
        source, vocab = "vocab", {token: identity for identity, token in enumerate(vocab)}
    else:
        raise TypeError(f"vocab must be a path, a dictionary or a list of tokens, not {type(vocab).__name__}")
    if not vocab:
        raise ValueError(f"the vocabulary is empty ({source})")
    for token, identity in vocab.items():
        if not isinstance(token, str) or not isinstance(identity, int) or identity < 0:
            raise TypeError(f"vocab must map text to ids 0, 1, 2 ..., not {token!r} to {identity!r}")
    if len(set(vocab.values())) < len(vocab):
        raise ValueError("vocab gives two tokens the same id")
    return vocab


def _as_added_token(token):
    return token if isinstance(token, AddedToken) else AddedToken(token)


def _rows(text, text_pair, is_split_into_words):
    """([(first, second or None), ...], whether it was a batch), each text checked."""

    def is_text(value):
        if not is_split_into_words:
            return isinstance(value, str)
        return isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value)

    wanted = "a list of words" if is_split_into_words else "a str"

    def checked(value, what, *places):
        if not is_text(value):
            what += "".join(f"[{place}]" for place in places)
            raise TypeError(f"{what} must be {wanted}, not {type(value).__name__}: {value!r:.60}")
        return value

    is_batch = isinstance(text, (list, tuple)) and not (is_split_into_words and is_text(text))
    if not is_batch:
        first, second = checked(text, "text"), None if text_pair is None else checked(text_pair, "text_pair")
        # An empty second text counts as none here, but not in a batch: so it is in transformers.
        return [(first, second or None)], False
    if text_pair is not None:
        if not isinstance(text_pair, (list, tuple)) or len(text_pair) != len(text):
            count = f"{len(text_pair)} texts" if isinstance(text_pair, (list, tuple)) else repr(text_pair)[:60]
            raise ValueError(f"text_pair must be a list as long as text, {len(text)}, and is {count}")
        pairs = zip(text, text_pair, strict=True)
        return [(checked(a, "text", i), checked(b, "text_pair", i)) for i, (a, b) in enumerate(pairs)], True
    rows = []
    for number, row in enumerate(text):
        if isinstance(row, (list, tuple)) and len(row) == 2 and not is_text(row):
            rows.append((checked(row[0], "text", number, 0), checked(row[1], "text", number, 1)))
        else:
            rows.append((checked(row, "text", number), None))
    return rows, True


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(map(str, allowed))}")
    return value


def _round_up(length, multiple):
    return -(-length // multiple) * multiple if multiple else length


def _as_lists(values):
    """Arrays, and lists of arrays, as lists of Python numbers."""
    if hasattr(values, "tolist"):
        return values.tolist()
    if isinstance(values, (list, tuple)):
        return [_as_lists(value) for value in values]
    return values
