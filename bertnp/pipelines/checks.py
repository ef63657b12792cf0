"""Do model, tokenizer and texts belong together? What all predictions ask before they start."""

import logging

logger = logging.getLogger("bertnp")


def longest_input(config, tokenizer, max_length=None):
    """How many tokens a text may have: what is asked for, else what model and tokenizer allow.

    Raises ValueError if more is asked for than the model has positions.
    """
    if max_length is None:
        return min(config.max_position_embeddings, tokenizer.model_max_length)
    if max_length > config.max_position_embeddings:
        raise ValueError(f"max_length: {max_length} tokens are more than the model's {config.max_position_embeddings} "
                         "positions (max_position_embeddings)")  # fmt: skip
    return max_length


def check_vocabulary(config, tokenizer):
    """ValueError where the tokenizer knows more tokens than the model has embeddings for."""
    if len(tokenizer) > config.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, but the model only {config.vocab_size} "
                         "(vocab_size): they don't belong together")  # fmt: skip


def check_batch_size(batch_size):
    """ValueError for less than one text at a time."""
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, got {batch_size}")


def cut_texts(examples, max_length, what="texts"):
    """How many texts are so long that they may have been cut, in words; None where there is none."""
    full = int((examples.lengths >= max_length).sum())
    if not full:
        return None
    return f"{full:,} of {len(examples):,} {what} fill all {max_length} tokens; what is longer was cut"


def warn_of_cut(examples, max_length):
    """Log a warning where texts may have been cut."""
    found = cut_texts(examples, max_length)
    if found:
        logger.warning("%s (see max_length)", found)


def missing_weights(model, *beginnings):
    """Names of the parameters, of those that begin so, that the files the model was loaded from do not have."""
    report = model.load_report
    if report is None:  # it was not loaded: whoever made it knows what it holds
        return []
    return [name for name in (*report.newly_initialised, *report.wrong_shape) if name.startswith(beginnings)]
