"""The stretch of a text that answers a question."""

import logging

import numpy as np

from bertnp.backend import array_module
from bertnp.data.questions import encode_questions
from bertnp.models.heads import BertForQuestionAnswering
from bertnp.pipelines.base import Pipeline

logger = logging.getLogger("bertnp")
LONGEST_INPUT = 384  # tokens of question and text together, where nothing else is said: transformers' default


class QuestionAnsweringPipeline(Pipeline):
    """Answers that stand in a text.

        answer = bertnp.pipeline("question-answering", model=folder)
        answer(question="Who wrote it?", context="It was written by Ada in a single night.")
        # {"score": 0.87, "start": 18, "end": 21, "answer": "Ada"}

    As the pipeline of transformers 4 has it, which transformers 5 has dropped; long texts are read in windows.
    """

    model_class = BertForQuestionAnswering
    head = "head for answers"
    head_weights = ("qa_outputs.",)

    def predict(self, inputs=None, question=None, context=None, top_k=1, handle_impossible_answer=False,
                max_answer_len=15, max_seq_len=None, doc_stride=None):  # fmt: skip
        """For a question {"score", "start", "end", "answer"}, or a list of such if top_k is more than 1 and there are
        more; for a list of questions a list of these.

        question, context: texts, or lists of them; one context may be for all questions
        inputs: in place of both, a dictionary {"question", "context"} or a list of such
        top_k: how many answers   max_answer_len: the longest answer, in tokens
        handle_impossible_answer: whether "" may be the answer, with the probability that there is none
        max_seq_len: tokens of a window, question and all; None: 384, if the model allows
        doc_stride: tokens that neighbouring windows share; None: 128, or half a window
        """
        questions, contexts, alone = self.arguments(inputs, question, context)
        for name, value in (("top_k", top_k), ("max_answer_len", max_answer_len)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        length = min(self.max_length, LONGEST_INPUT) if max_seq_len is None else max_seq_len
        if length > self.max_length:
            raise ValueError(f"max_seq_len: expected at most {self.max_length}, got {length}")
        stride = min(length // 2, 128) if doc_stride is None else doc_stride
        examples = encode_questions(self.tokenizer, questions, contexts, None, length, stride)
        if examples.cut:
            logger.warning("%d of %d questions were longer than their share of the window and were cut",
                           len(examples.cut), len(questions))  # fmt: skip
        rows = self.outputs(examples, start_and_end)  # (S, 2) each, with padding
        tokens = [row[:n] for row, n in zip(rows, examples.lengths, strict=True)]
        logits = np.concatenate(tokens) if tokens else np.zeros((0, 2))
        results = examples.merge(logits, top_k, max_answer_len, handle_impossible_answer)
        results = [found[0] if len(found) == 1 else found for found in results]
        return results[0] if alone else results

    def arguments(self, inputs, question, context):
        """(questions, contexts, whether there is but one question); ValueError or TypeError for what is neither."""
        if inputs is not None:
            if question is not None or context is not None:
                raise ValueError("give either question and context or dictionaries of both")
            alone = isinstance(inputs, dict)
            records = [inputs] if alone else list(inputs)
            if not all(isinstance(record, dict) and {"question", "context"} <= set(record) for record in records):
                raise TypeError('expected {"question": ..., "context": ...} or a list of such')
            questions, contexts = ([record[name] for record in records] for name in ("question", "context"))
        else:
            alone = isinstance(question, str)
            questions = [question] if alone else list(question or ())
            contexts = [context] * len(questions) if isinstance(context, str) else list(context or ())
        if len(questions) != len(contexts):
            raise ValueError(f"context: expected one for each of {len(questions)} questions, got {len(contexts)}")
        for name, texts in (("question", questions), ("context", contexts)):
            for number, text in enumerate(texts, 1):
                if not isinstance(text, str):
                    raise TypeError(f"{name} {number}: expected a text, got {type(text).__name__}")
                if not text.strip():
                    raise ValueError(f"{name} {number} is blank; there is nothing to read")
        return questions, contexts, alone


def start_and_end(out):
    """(B, S, 2)"""
    return array_module(out.start_logits).stack([out.start_logits, out.end_logits], axis=-1)
