"""Fine-tuned models from their folders, whatever they were fine-tuned for."""

from dataclasses import dataclass

from bertnp.cli.arguments import float_type_for
from bertnp.cli.learning import make_task, reading_options
from bertnp.models.configuration import BertConfig
from bertnp.pipelines.checks import check_batch_size, check_vocabulary, longest_input, missing_weights
from bertnp.tasks import Task, task_of
from bertnp.tokenization import BertTokenizer


@dataclass
class LoadedTask:
    """A fine-tuned model, what it is for, and how it reads.

    names: of its classes   max_length: tokens in a row   stride: that windows share; None: no windows
    """

    task: type[Task]
    model: object
    tokenizer: BertTokenizer
    names: list
    max_length: int
    stride: int | None


def load_task(args):
    """The model that --model, --device, --precision, --max-length and --stride ask for.

    Raises ValueError where the files hold no trained head.
    """
    check_batch_size(args.batch_size)
    tokenizer = BertTokenizer.from_pretrained(args.model)
    kind = task_of(BertConfig.from_pretrained(args.model))
    model = kind.head.from_pretrained(args.model, dtype=float_type_for(args), device=args.device)
    missing = missing_weights(model, "classifier.", "qa_outputs.")
    if missing:
        what = "classifier" if missing[0].startswith("classifier.") else "head for answers"
        raise ValueError(f"{args.model} holds no trained {what} (there is no {missing[0]} in it): fine-tune first")
    check_vocabulary(model.config, tokenizer)
    longest = longest_input(model.config, tokenizer, args.max_length)
    if kind.windows and args.max_length is None:
        longest = min(longest, kind.max_length)
    names = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
    return LoadedTask(kind, model, tokenizer, names, longest, kind().stride(args.stride, longest))


def read_labelled(args, loaded):
    """The task as the command line says to read its files, the file's examples, and the classes' names in it."""
    task = make_task(loaded.task.name, reading_options(args))
    data, names = task.read(args.file), loaded.names
    if task.name in ("sequence", "pair"):
        names = file_names(data, names)
    task.check(data, names)
    return task, data, names


def file_names(table, names):
    """The names of the classes as the file has them: the model's or, where that has only LABEL_0, ..., the numbers."""
    numbers = [str(number) for number in range(len(names))]
    if names == [f"LABEL_{number}" for number in numbers] and set(table.labels) <= set(numbers):
        return numbers
    return names
