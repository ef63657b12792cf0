"""A class for every token of a text, and the entities that tokens make up together."""

import logging

import numpy as np

import bertnp.functional as F
from bertnp.data import EncodedTexts
from bertnp.data.windows import text_windows
from bertnp.models.heads import BertForTokenClassification
from bertnp.pipelines.base import Pipeline, each_text

logger = logging.getLogger("bertnp")
STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(Pipeline):
    """Entities, or other classes of words.

        tag = bertnp.pipeline("token-classification", model=folder, aggregation_strategy="simple")
        tag("Ada lived in London.")
        # [{"entity_group": "PER", "score": 0.99, "word": "ada", "start": 0, "end": 3}, {"entity_group": "LOC", ...}]

    aggregation_strategy says how tokens become entities:
      none      they don't: {"entity", "score", "index", "word", "start", "end"} for each token
      simple    neighbouring tokens of one type make an entity, {"entity_group", "score", "word", "start", "end"}; a tag
                B- begins another; the score is the mean
      first     the same of words, not tokens: a word has the class of its first piece
      average   a word has the class with the largest mean probability over its pieces
      max       a word has the class of the piece that is surest of its own
    """

    model_class = BertForTokenClassification
    head = "classifier of tokens"
    head_weights = ("classifier.",)

    def predict(self, inputs, aggregation_strategy="none", ignore_labels=("O",), stride=None, is_split_into_words=False,
                delimiter=" "):  # fmt: skip
        """For a text a list of its tokens or entities, in their order; for a list of texts a list of such lists.

        inputs: a text, or a list of texts; with is_split_into_words each text is a list of words, and "start" and "end"
            are places in the words joined by the delimiter
        aggregation_strategy: one of STRATEGIES   ignore_labels: classes and entity groups that are left out
        stride: lay windows over long texts, neighbours sharing so many tokens; of entities that overlap, the longer
            stays, of equally long ones the surer. None: what is longer than max_length is cut, with a warning
        """
        if aggregation_strategy not in STRATEGIES:
            raise ValueError(f"aggregation_strategy: expected {', '.join(STRATEGIES)}, got {aggregation_strategy!r}")
        if stride is not None and aggregation_strategy == "none":
            raise ValueError("stride: windows overlap, and tokens are not merged; choose an aggregation_strategy")
        texts, alone = each_words(inputs) if is_split_into_words else each_text(inputs)
        windows, owners = self.windows(texts, stride)
        examples = EncodedTexts([w.ids for w in windows], [w.type_ids for w in windows], None,
                                self.tokenizer.pad_token_id)  # fmt: skip
        scores = self.outputs(examples, lambda out: F.softmax(out.logits))  # (S, C) each
        results = [[] for _ in texts]
        for window, owner, of_window in zip(windows, owners, scores, strict=True):
            tokens = self.tokens(window, of_window, texts[owner], delimiter)
            found = self.aggregate(tokens, aggregation_strategy)
            results[owner] += [e for e in found if e.get("entity", e.get("entity_group")) not in ignore_labels]
        for text, count in enumerate(np.bincount(owners, minlength=len(texts))):
            if count > 1:
                results[text] = without_overlaps(results[text])
        return results[0] if alone else results

    def windows(self, texts, stride):
        """The windows over all texts and the text that each is of; without a stride each text's first alone."""
        room = self.max_length - self.tokenizer.num_special_tokens_to_add()
        if stride is not None and not 0 <= stride < room:
            raise ValueError(f"stride: expected 0 to {room - 1} (there is room for {room} tokens), got {stride}")
        windows, owners = text_windows(self.tokenizer, texts, None, self.max_length, stride or 0)
        if stride is not None or len(windows) == len(texts):
            return windows, owners
        first = np.searchsorted(owners, np.arange(len(texts)))
        cut = int((np.bincount(owners) > 1).sum())
        logger.warning("%d of %d texts were cut to %d tokens; stride=... would read them whole", cut, len(texts),
                       self.max_length)  # fmt: skip
        return [windows[row] for row in first], np.arange(len(texts))

    def tokens(self, window, scores, text, delimiter):
        """The tokens of a window that stand for text, with their probabilities, (S, C), and places."""
        starts = [0]
        if not isinstance(text, str):  # the offsets are those within each word
            starts = np.cumsum([0, *(len(word) + len(delimiter) for word in text)])
            text = delimiter.join(text)
        tokens = []
        for index, (word, (start, end), number) in enumerate(
            zip(window.tokens, window.offsets, window.word_ids, strict=True)
        ):
            if window.special_tokens_mask[index]:
                continue
            shift = int(starts[number]) if len(starts) > 1 else 0
            start, end = start + shift, end + shift
            continues = word.startswith("##")
            if word == self.tokenizer.unk_token:
                word = text[start:end]
            tokens.append({"scores": scores[index], "index": index, "word": word, "start": start, "end": end,
                           "continues": continues})  # fmt: skip
        return tokens

    def aggregate(self, tokens, strategy):
        """From tokens to what `predict` gives of them, nothing left out."""
        if strategy in ("none", "simple"):
            entities = [self.entity(token["scores"]) | kept(token, "index", "word", "start", "end") for token in tokens]
            return entities if strategy == "none" else self.groups(entities)
        words = []
        for token in tokens:
            if token["continues"] and words:
                words[-1].append(token)
            else:
                words.append([token])
        return self.groups([self.word(pieces, strategy) for pieces in words])

    def entity(self, scores):
        """The most probable class, by its name, and its probability."""
        best = int(scores.argmax())
        return {"entity": str(self.model.config.id2label[best]), "score": float(scores[best])}

    def word(self, pieces, strategy):
        """One entity of the pieces of a word."""
        rows = np.stack([piece["scores"] for piece in pieces])  # (pieces, C)
        row = {"first": rows[0], "average": rows.mean(axis=0), "max": rows[rows.max(axis=1).argmax()]}[strategy]
        return self.entity(row) | self.stretch(pieces)

    def groups(self, entities):
        """Neighbours of one type together: a tag that is not B- goes on with the one before it."""
        groups = []
        for entity in entities:
            begins, kind = type_of(entity["entity"])
            if groups and not begins and type_of(groups[-1][-1]["entity"])[1] == kind:
                groups[-1].append(entity)
            else:
                groups.append([entity])
        return [
            {"entity_group": group[0]["entity"].split("-", 1)[-1],
             "score": float(np.mean([entity["score"] for entity in group])), **self.stretch(group)}
            for group in groups
        ]  # fmt: skip

    def stretch(self, parts):
        """The text of neighbouring tokens or words, and where it starts and ends."""
        word = self.tokenizer.convert_tokens_to_string([part["word"] for part in parts])
        return {"word": word, "start": parts[0]["start"], "end": parts[-1]["end"]}


def kept(record, *names):
    return {name: record[name] for name in names}


def type_of(tag):
    """(whether it begins an entity, its type): "B-PER" -> (True, "PER"), "PER" -> (False, "PER")"""
    return tag.startswith("B-"), tag[2:] if tag.startswith(("B-", "I-")) else tag


def without_overlaps(entities):
    """Entities of several windows in their order; of those that overlap the longest, then the surest."""
    entities = sorted(entities, key=lambda entity: entity["start"])
    found = entities[:1]
    for entity in entities[1:]:
        before = found[-1]
        if entity["start"] >= before["end"]:
            found.append(entity)
        elif (entity["end"] - entity["start"], entity["score"]) > (before["end"] - before["start"], before["score"]):
            found[-1] = entity
    return found


def each_words(inputs):
    """A list of lists of words, and whether it was but one; TypeError for anything else."""
    texts = list(inputs) if isinstance(inputs, (list, tuple)) else [None]
    alone = bool(texts) and all(isinstance(word, str) for word in texts)
    texts = [texts] if alone else texts
    for text in texts:
        if not isinstance(text, (list, tuple)) or not all(isinstance(word, str) for word in text):
            raise TypeError("is_split_into_words: expected a list of words, or a list of such lists")
    return [list(text) for text in texts], alone
