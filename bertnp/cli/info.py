"""Say what a model folder holds: architecture, sizes, labels, vocabulary, files, and how well they fit together."""

from collections import Counter
from pathlib import Path

import bertnp
from bertnp.models.configuration import CONFIG_FILE, BertConfig
from bertnp.models.transformer_configuration import TransformerConfig
from bertnp.models.weight_files import WeightFiles
from bertnp.tokenization import BertTokenizer, PairTokenizer

EXAMPLES = """\
examples:
  bertnp info my-model
  bertnp info bert-folder --tensors
"""
PURPOSES = {
    "BertModel": "bare encoder",
    "BertForPreTraining": "masked words and next sentence",
    "BertForMaskedLM": "masked words",
    "BertForNextSentencePrediction": "next sentence",
    "BertForSequenceClassification": "classes or numbers for texts",
    "BertForTokenClassification": "classes for tokens",
    "BertForQuestionAnswering": "answers in a text",
    "BertForMultipleChoice": "one of several continuations",
    "Transformer": "translation",
}
HEADS = {  # the class whose tensors these are, where config.json doesn't name one
    "cls.seq_relationship": "BertForPreTraining",
    "cls.predictions": "BertForMaskedLM",
    "qa_outputs": "BertForQuestionAnswering",
    "classifier": "BertForSequenceClassification",
}


def add_arguments(parser):
    parser.add_argument("folder", metavar="DIR", help="the folder of a model")
    parser.add_argument("--tensors", action="store_true", help="list every tensor: name, shape, type")


def run(args):
    folder = Path(args.folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    config = configuration(folder)
    with WeightFiles(folder) as files:
        tensors = [(name, files.shape(name)) for name in files.names]
    name = class_name(config, tensors)
    model = getattr(bertnp, name).from_pretrained(folder, ignore_mismatched_sizes=True)
    positions = getattr(config, "max_position_embeddings", "any number of")
    lines = [
        ("model", f"{name} ({PURPOSES[name]})"),
        ("sizes", f"{config.num_hidden_layers} layers, {config.num_attention_heads} heads, hidden size "
                  f"{config.hidden_size}, intermediate {config.intermediate_size}, {positions} positions, "
                  f"activation {config.hidden_act}"),
        ("parameters", f"{model.num_parameters():,}"),
        ("vocabulary", vocabulary(folder, config)),
    ]  # fmt: skip
    if name in ("BertForSequenceClassification", "BertForTokenClassification"):
        labels = [str(config.id2label[number]) for number in sorted(config.id2label)]
        shown = ", ".join(labels[:20]) + (f", ... ({len(labels)})" if len(labels) > 20 else "")
        lines.append(("labels", shown))
        if config.problem_type:
            lines.append(("problem", config.problem_type.replace("_", " ")))
    lines += [("files", part) for part in file_sizes(folder)]
    report, *details = str(model.load_report).split("\n")
    lines += [("loaded", report.split(": ")[-1]), *(("", detail.strip()) for detail in details)]
    before = None
    for what, line in lines:
        print(f"{what if what != before else '':10}  {line}")
        before = what
    if args.tensors:
        print_tensors(folder)


def configuration(folder):
    """The configuration in a folder, of whichever kind it is."""
    path = folder / CONFIG_FILE
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    translates = f'"model_type": "{TransformerConfig.model_type}"' in text
    return (TransformerConfig if translates else BertConfig).from_pretrained(folder)


def class_name(config, tensors):
    """The class of the model: what config.json says, or else what its tensors are called."""
    if isinstance(config, TransformerConfig):
        return "Transformer"
    for name in config.architectures or ():
        if name in PURPOSES:
            return name
    for head, name in HEADS.items():
        if any(tensor.startswith(head) for tensor, _ in tensors):
            return name
    return "BertModel"


def vocabulary(folder, config):
    if isinstance(config, TransformerConfig):
        return pair_vocabulary(folder)
    try:
        tokenizer = BertTokenizer.from_pretrained(folder)
    except FileNotFoundError:
        return f"{config.vocab_size:,} words in the model; no tokenizer files in the folder"
    case = "lower-cased" if tokenizer.do_lower_case else "cased"
    fits = "" if len(tokenizer) == config.vocab_size else f"; the model has room for {config.vocab_size:,}"
    return f"{len(tokenizer):,} tokens, {case}{fits}"


def pair_vocabulary(folder):
    try:
        tokenizer = PairTokenizer.from_pretrained(folder)
    except FileNotFoundError as error:
        return str(error)
    if tokenizer.shared:
        return f"{len(tokenizer.source):,} tokens of both sides, {tokenizer.source_units}"
    return (f"{len(tokenizer.source):,} tokens of the sources, {tokenizer.source_units}; "
            f"{len(tokenizer.target):,} of the targets, {tokenizer.target_units}")  # fmt: skip


def file_sizes(folder):
    files = sorted(path for path in folder.iterdir() if path.is_file())
    width = max(len(path.name) for path in files)
    return [f"{path.name:{width}}  {path.stat().st_size:>13,} bytes" for path in files]


def print_tensors(folder):
    with WeightFiles(folder) as files:
        width = max(map(len, files.names))
        print()
        count = Counter()
        for name in sorted(files.names):
            tensor = files.read(name)
            count[tensor.dtype.name] += tensor.size
            print(f"{name:{width}}  {str(tensor.shape):15}  {tensor.dtype.name}")
        print(f"{len(files.names)} tensors: " + ", ".join(f"{n:,} of {dtype}" for dtype, n in count.items()))
