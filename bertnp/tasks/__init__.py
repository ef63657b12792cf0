"""What a fine-tuned BERT can do: read a file, encode it, choose the head, measure, and say what was found."""

from bertnp.tasks.base import Metrics, Task
from bertnp.tasks.choice import ChoiceTask
from bertnp.tasks.sequence import MultilabelTask, PairTask, RegressionTask, SequenceTask
from bertnp.tasks.span import SpanTask
from bertnp.tasks.token import TokenTask

TASKS = {
    task.name: task
    for task in (SequenceTask, PairTask, RegressionTask, MultilabelTask, TokenTask, SpanTask, ChoiceTask)
}


def task_of(config):
    """The task that the model of a configuration was fine-tuned for: what it says, or what its head is for."""
    named = getattr(config, "finetuning_task", None)
    if named in TASKS:
        return TASKS[named]
    heads = {task.head.__name__: task for task in (TokenTask, SpanTask, ChoiceTask)}
    for architecture in config.architectures or ():
        if architecture in heads:
            return heads[architecture]
    kinds = {"regression": RegressionTask, "multi_label_classification": MultilabelTask}
    if config.problem_type is None and config.num_labels == 1:
        return MultilabelTask
    return kinds.get(config.problem_type, SequenceTask)


__all__ = [
    "TASKS", "ChoiceTask", "Metrics", "MultilabelTask", "PairTask", "RegressionTask", "SequenceTask", "SpanTask",
    "Task", "TokenTask", "task_of",
]  # fmt: skip
