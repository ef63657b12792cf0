"""Where in a paragraph the answer to a question stands."""

from bertnp.data import encode_questions, read_questions
from bertnp.models.heads import BertForQuestionAnswering
from bertnp.tasks.base import Metrics, Task, hold_out
from bertnp.training.metrics import span_scores

LONGEST_ANSWER = 30  # tokens, as in Devlin et al.'s run_squad.py


class SpanTask(Task):
    """The stretch of a paragraph that answers a question, or that there is none."""

    name = "span"
    head = BertForQuestionAnswering
    file = "JSON of SQuAD, version 1.1 or 2.0"
    max_length = 384
    windows = True
    classes = False

    def read(self, path, labelled=True):
        return read_questions(path, labelled)

    def names(self, questions, config):
        return ["start", "end"]

    def what(self, questions):
        paragraphs = len(set(questions.paragraphs))
        without = f", {questions.unanswerable:,} of them without answer" if questions.unanswerable else ""
        return f"{len(questions):,} questions about {paragraphs:,} paragraphs{without}"

    def split(self, questions, share, seed):
        """Whole paragraphs are held out."""
        return hold_out(questions, share, seed, questions.paragraphs)

    def encode(self, tokenizer, questions, names, max_length, stride, labelled=True):
        answers = questions.answers if labelled else None
        return encode_questions(tokenizer, questions.questions, questions.contexts, answers, max_length, stride)

    def metrics(self, questions, examples, names):
        return Metrics(["f1", "exact"], lambda logits: self.scores(questions, examples, logits))

    def scores(self, questions, examples, logits):
        """Exact match and F1; with questions without answer, "" is the answer where P(none) is above the best span's,
        and the best threshold of their difference is told.
        """
        gold, (texts, doubt) = questions.gold(), self.found(questions, examples, logits)
        if not questions.unanswerable:
            return {name: span_scores(gold, texts)[name] for name in ("f1", "exact")}
        scores = span_scores(gold, texts, doubt, no_answer_threshold=0.0)
        return {name: scores[name] for name in ("f1", "exact", *scores) if not name.endswith("total")}

    def intervals(self, questions, examples, names, logits, confidence):
        texts, doubt = self.found(questions, examples, logits)
        options = {"no_answer": doubt, "no_answer_threshold": 0.0} if questions.unanswerable else {}
        return span_scores(questions.gold(), texts, confidence=confidence, **options)["intervals"]

    def found(self, questions, examples, logits):
        """{id: the best span's text} and {id: P(none) - P(the best span)}"""
        texts, doubt = {}, {}
        for identity, (answer, none) in zip(questions.ids, examples.judge(logits, LONGEST_ANSWER), strict=True):
            texts[identity] = answer["answer"] if answer else ""
            doubt[identity] = none - (answer["score"] if answer else 0.0)
        return texts, doubt
