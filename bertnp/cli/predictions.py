"""What `bertnp predict` reads and writes where words are tagged, answers found, or choices made."""

import json
import sys

import numpy as np

import bertnp.functional as F
from bertnp.cli.arguments import note_cut
from bertnp.cli.learning import note_details
from bertnp.cli.texts import keeps_every_letter, one_line_each, read_texts
from bertnp.data import encode_choices, encode_questions, encode_words, read_choices, read_questions, read_tagged
from bertnp.training import predict_logits


class Predictor:
    """Reads texts as the command line says, before the model is loaded, and writes what the model finds."""

    def __init__(self, args, load):
        self.args = args
        self.notes = []
        self.read()
        self.loaded = load(args)

    def logits(self, examples):
        if self.loaded.stride is None:
            note_cut(examples, self.loaded.max_length, "texts")
        note_details(examples)
        return predict_logits(self.loaded.model, examples, self.args.batch_size)[0]

    @property
    def windows(self):
        return self.loaded.tokenizer, self.loaded.max_length, self.loaded.stride

    def texts(self):
        """The texts of the command line, a file or standard input, all at once."""
        return [text for texts, _ in read_texts(self.args) for text in texts]

    def from_file(self, *endings):
        """Whether --file has one of these endings."""
        return self.args.file is not None and self.args.file.lower().endswith(endings)


class TokenPredictor(Predictor):
    """Tags of words: CoNLL from a file of CoNLL; of plain texts, where words are what the tokenizer takes for them."""

    def read(self):
        self.plain = not self.from_file(".conll", ".iob", ".bio", ".conllu")
        if self.plain:
            self.all = self.texts()
        else:
            self.sentences = read_tagged(self.args.file, labelled=False).words

    def write(self):
        tokenizer, max_length, stride = self.windows
        if self.plain:
            spans = [word_spans(tokenizer, text) for text in self.all]
            self.sentences = [[text[a:b] for a, b in places] for text, places in zip(self.all, spans, strict=True)]
        examples = encode_words(tokenizer, self.sentences, None, max_length, stride)
        merged = examples.merge(self.logits(examples))
        for row, (words, logits) in enumerate(zip(self.sentences, merged, strict=True)):
            known = ~np.isnan(logits[:, 0])
            p = np.zeros(logits.shape)
            p[known] = F.softmax(logits[known].astype(np.float64))
            p[~known, 0] = 1.0
            tags = [self.loaded.names[place] for place in p.argmax(axis=-1)]
            if self.args.format == "jsonl":
                record = {"tokens": words, "tags": tags, "probabilities": p.max(axis=-1).tolist()}
                if self.plain:
                    record = {"text": self.all[row], **record, "offsets": spans[row]}
                print(as_json(record))
            else:
                print("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))


class SpanPredictor(Predictor):
    """Answers: of one question about each text, or of a file of SQuAD."""

    def read(self):
        args = self.args
        if self.from_file(".json"):
            if args.question:
                raise ValueError("give either --question with texts, or a file of SQuAD with its questions")
            found = read_questions(args.file, labelled=False)
            self.ids, self.questions, self.contexts = found.ids, found.questions, found.contexts
            self.notes = found.notes
        else:
            if not (args.question or "").strip():
                raise ValueError("give a --question about the texts, or a file of SQuAD (.json)")
            self.contexts = self.texts()
            self.questions, self.ids = [args.question] * len(self.contexts), None

    def write(self):
        args, (tokenizer, max_length, stride) = self.args, self.windows
        examples = encode_questions(tokenizer, self.questions, self.contexts, None, max_length, stride)
        found = examples.merge(self.logits(examples), args.top, args.max_answer_length, args.no_answer)
        for row, answers in enumerate(found):
            identity = {} if self.ids is None else {"id": self.ids[row]}
            if args.format == "jsonl":
                print(as_json({**identity, "question": self.questions[row], "answers": answers}))
            for answer in answers if args.format == "text" else ():
                line = [answer["answer"], self.questions[row]]
                print("\t".join([one_line_each(line[0])[0], f"{answer['score']:.4f}", *identity.values(),
                                 *one_line_each(line[1])]))  # fmt: skip


class ChoicePredictor(Predictor):
    """The best choice: of those on the command line for each text, or of a file of JSON lines."""

    def read(self):
        args = self.args
        if self.from_file(".jsonl", ".json", ".ndjson"):
            if args.choice:
                raise ValueError("give either --choice with texts, or a file with its choices")
            found = read_choices(args.file, labelled=False)
            self.contexts, self.options = found.contexts, found.options
        else:
            if len(args.choice or ()) < 2:
                raise ValueError("give --choice twice or more often, or a file of JSON lines (.jsonl)")
            self.contexts = self.texts()
            self.options = [args.choice] * len(self.contexts)

    def write(self):
        tokenizer, max_length, stride = self.windows
        examples = encode_choices(tokenizer, self.contexts, self.options, None, max_length, stride)
        p = F.softmax(examples.merge(self.logits(examples)).astype(np.float64))
        for context, options, row in zip(self.contexts, self.options, p, strict=True):
            best = int(row.argmax())
            if self.args.format == "jsonl":
                print(as_json({"context": context, "choices": options, "label": best, "probabilities": row.tolist()}))
            else:
                print("\t".join([*one_line_each(options[best]), f"{row[best]:.4f}", *one_line_each(context)]))


PREDICTORS = {"token": TokenPredictor, "span": SpanPredictor, "choice": ChoicePredictor}


def word_spans(tokenizer, text):
    """(start, end) of the words of a text, as the tokenizer cuts it before it looks for pieces."""
    encoding = tokenizer(text, add_special_tokens=False, verbose=False, return_offsets_mapping=True)
    spans, before = [], None
    for (start, end), word in zip(encoding["offset_mapping"], encoding.word_ids(), strict=True):
        if word == before:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
        before = word
    return spans


def as_json(record):
    return json.dumps(record, ensure_ascii=not keeps_every_letter(sys.stdout))
