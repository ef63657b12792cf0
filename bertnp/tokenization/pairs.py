"""The two vocabularies of a translation."""

import json
from pathlib import Path

from bertnp.backend.files import write_text
from bertnp.tokenization.characters import character_tables
from bertnp.tokenization.tokenizer import BertTokenizer
from bertnp.tokenization.vocabulary_training import SPECIAL_TOKENS, count_words, train_vocabulary

FILE = "translation.json"
SPACE = "▁"  # stands for a space where texts are spelled
UNITS = ("wordpiece", "characters")
NO_SPACE_BEFORE = set(".,!?;:%)]}…'’")
NO_SPACE_AFTER = set("([{'’$#")


class PairTokenizer:
    """Sources and targets to token ids, and target ids back to text.

    WordPiece cuts words into pieces, and Chinese into characters; capitals and accents stay. With "characters" every
    character is a token, spaces, too, so that nothing of a text is lost.

    source, target: BertTokenizers, the same object where both sides share a vocabulary
    source_units, target_units: "wordpiece" or "characters"
    """

    def __init__(self, source, target, source_units="wordpiece", target_units="wordpiece"):
        for name, units in (("source_units", source_units), ("target_units", target_units)):
            if units not in UNITS:
                raise ValueError(f"{name}: expected {' or '.join(UNITS)}, got {units!r}")
        if source is target and source_units != target_units:
            raise ValueError("a shared vocabulary has the same units on both sides")
        self.source, self.target = source, target
        self.source_units, self.target_units = source_units, target_units

    @classmethod
    def train(cls, pairs, size=8000, shared=False, source_units="wordpiece", target_units="wordpiece", progress=False):
        """Vocabularies of at most `size` tokens made from the data: one for both sides if shared, else one for each.

        pairs: with lists `sources` and `targets`, such as `bertnp.data.SentencePairs`
        """
        if shared:
            both = make_vocabulary([*pairs.sources, *pairs.targets], size, source_units, progress)
            return cls(both, both, source_units, target_units)
        source = make_vocabulary(pairs.sources, size, source_units, progress)
        return cls(source, make_vocabulary(pairs.targets, size, target_units, progress), source_units, target_units)

    @property
    def shared(self):
        return self.source is self.target

    def encode_sources(self, texts):
        """For each text its ids and the end token."""
        return encode(self.source, self.source_units, texts)

    def encode_targets(self, texts):
        """For each text its ids and the end token."""
        return encode(self.target, self.target_units, texts)

    def tokens(self, ids, side="target"):
        """The tokens of ids as strings."""
        return (self.target if side == "target" else self.source).convert_ids_to_tokens([int(i) for i in ids])

    def decode(self, ids):
        """The text of target ids. Where words were cut out of it, spaces are put back by rule: see `join`."""
        tokens = [token for token in self.tokens(ids) if token not in ("[PAD]", "[CLS]", "[SEP]")]
        if self.target_units == "characters":
            return "".join(" " if token == SPACE else token for token in tokens)
        return join(tokens)

    # ---- files

    def save_pretrained(self, folder):
        """Write translation.json, and the vocabulary beside it; where there are two, into source/ and target/."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for side in ("source", "target"):
            getattr(self, side).save_pretrained(folder if self.shared else folder / side)
        settings = {"shared": self.shared, "source_units": self.source_units, "target_units": self.target_units}
        write_text(folder / FILE, json.dumps(settings, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder):
        """Read what `save_pretrained` wrote. Raises FileNotFoundError, or ValueError naming the file."""
        path = Path(folder) / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{folder} holds no translation model: there is no {FILE} in it")
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            shared, units = settings["shared"], (settings["source_units"], settings["target_units"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the settings of a translation's vocabularies ({error})") from None
        if shared:
            both = BertTokenizer.from_pretrained(folder)
            return cls(both, both, *units)
        sides = [BertTokenizer.from_pretrained(Path(folder) / side) for side in ("source", "target")]
        return cls(*sides, *units)


def make_vocabulary(texts, size, units, progress=False):
    """A tokenizer that keeps capitals and accents, with a vocabulary made from these texts."""
    blank = BertTokenizer(list(SPECIAL_TOKENS), do_lower_case=False)
    if units == "characters":
        texts = map(spelled, texts)
    tokens = train_vocabulary(count_words(texts, blank), size, limit_alphabet=None, progress=progress)
    return BertTokenizer(tokens, do_lower_case=False)


def spelled(text):
    """Every character for itself: "a b" -> "a ▁ b"."""
    return " ".join(SPACE if character.isspace() else character for character in text)


def encode(tokenizer, units, texts):
    """For each text its ids and, last, the end token."""
    texts = list(texts)
    if not texts:
        return []
    if units == "characters":
        texts = [spelled(text) for text in texts]
    rows = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False,
                     verbose=False)["input_ids"]  # fmt: skip
    return [[*ids, tokenizer.sep_token_id] for ids in rows]


def join(tokens):
    """WordPiece tokens as text: pieces without "##", and no space between Chinese characters or before punctuation."""
    text = ""
    for token in tokens:
        piece = token.startswith("##")
        token = token[2:] if piece else token
        if text and not (piece or stands_alone(text[-1]) or stands_alone(token[0])
                         or token[0] in NO_SPACE_BEFORE or text[-1] in NO_SPACE_AFTER):  # fmt: skip
            text += " "
        text += token
    return text


def stands_alone(character):
    """Whether a character is written without spaces around it: ideographs, kana, and the marks that go with them."""
    kana_and_marks = "\u3000" <= character <= "\u30ff" or "\uff00" <= character < "\uff66"
    return kana_and_marks or character in character_tables().chinese
