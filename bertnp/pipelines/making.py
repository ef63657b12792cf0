"""One call for all tasks: `bertnp.pipeline`."""

from bertnp.pipelines.masked_words import FillMask
from bertnp.pipelines.question_answering import QuestionAnsweringPipeline
from bertnp.pipelines.sentence_vectors import SentenceEncoder
from bertnp.pipelines.text_classes import TextClassificationPipeline, ZeroShotClassificationPipeline
from bertnp.pipelines.token_classes import TokenClassificationPipeline
from bertnp.pipelines.vectors import FeatureExtractionPipeline, SentenceSimilarityPipeline

TASKS = {
    "fill-mask": FillMask,
    "text-classification": TextClassificationPipeline,
    "token-classification": TokenClassificationPipeline,
    "question-answering": QuestionAnsweringPipeline,
    "feature-extraction": FeatureExtractionPipeline,
    "sentence-similarity": SentenceSimilarityPipeline,
    "zero-shot-classification": ZeroShotClassificationPipeline,
}
OTHER_NAMES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}


def pipeline(task, model, tokenizer=None, **options):
    """A function from texts to answers, in the manner of transformers: same tasks, options and fields.

        answer = bertnp.pipeline("question-answering", model=folder, top_k=3)
        answer(question="Who wrote it?", context="It was written by Ada.")

    task: "fill-mask", "text-classification" (or "sentiment-analysis"), "token-classification" (or "ner"),
        "question-answering", "feature-extraction", "sentence-similarity" or "zero-shot-classification"
    model: a folder, a published model's name, or a model of the right class, which needs a tokenizer
    options: batch_size, max_length; the call's own options, as defaults for every call; and, where files are loaded,
        those of `from_pretrained`, such as device and dtype

    Raises ValueError for an unknown task and for files without a head that was trained for it.
    """
    task = OTHER_NAMES.get(task, task)
    if task not in TASKS:
        raise ValueError(f"task: expected {', '.join(TASKS)}, got {task!r}")
    made_by = TASKS[task]
    if made_by is SentenceSimilarityPipeline:
        if isinstance(model, SentenceEncoder):
            return made_by(model)
        return made_by.from_pretrained(model, **options)
    if not hasattr(model, "config"):
        return made_by.from_pretrained(model, tokenizer=tokenizer, **options)
    if tokenizer is None:
        raise ValueError("tokenizer: a model that is not loaded from files needs one, too")
    return made_by(model, tokenizer, **options)
