"""The command line: `bertnp COMMAND`, one module per command, each loaded only when it runs."""

import importlib
import logging
import os
import sys
import traceback

COMMANDS = {  # name -> what it does; the module bears the same name, with _ for -
    "tour": "see what BERT is for, in two minutes: pre-train a small one and put it to use",
    "vocab": "make a vocabulary from plain text",
    "instances": "make pairs of segments with masked words to pre-train on",
    "pretrain": "train a BERT on plain text: masked words and next sentences",
    "fill-mask": "fill in masked words, with a pre-trained model",
    "next-sentence": "tell whether one sentence follows another, with a pre-trained model",
    "finetune": "teach a pre-trained BERT a task: to classify texts, tag words, find answers, choose",
    "evaluate": "measure a fine-tuned model on a labelled file",
    "predict": "label texts, tag words, find answers, choose, with probabilities",
    "translate": "train a Transformer on pairs of sentences, and translate with it",
    "embed": "turn texts into vectors",
    "similar": "find the texts most like a query",
    "head-importance": "say which attention heads a fine-tuned model needs",
    "plot": "draw the curves of a training",
    "info": "say what a model folder holds",
    "bench": "measure speed and memory, beside other libraries",
    "learn": "write parts of BERT yourself: exercises, checked in a second",
    "chapters": "list the chapters, run one, make a notebook of it",
    "figures": "draw the chapters' pictures again",
    "gradcheck": "check hand-written gradients, the library's or your own",
    "teach": "hand out exercises to a class, and grade what comes back",
}
TRAINING = ("pretrain", "finetune")
TOLD = (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError)  # in one line, without a traceback
EXAMPLES = """\
examples:
  bertnp pretrain books/ -o my-bert
  bertnp finetune train.tsv --model bert-folder -o my-model
  bertnp evaluate test.tsv --model my-model
  bertnp predict "I love you." "I hate you." --model my-model
  bertnp info my-model

`bertnp COMMAND --help` shows a command's options and examples.
With BERTNP_DEBUG=1 an error shows where it came from."""


def main(argv=None):
    """Run a command line and return its exit code: 0, 2 for what the user can put right, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what a terminal can't show doesn't stop the command
    logger = logging.getLogger("bertnp")
    level = logger.level
    logger.setLevel(logging.ERROR)  # the commands say in their own words what was loaded
    try:
        code = run_together(sys.argv[1:] if argv is None else list(argv))
        sys.stdout.flush()
        return code
    except SystemExit as exit:  # argparse ends so after --help and --version
        return exit.code or 0
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        if sys.stdout is sys.__stdout__:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the last flush is quiet, too
        return 0
    except KeyboardInterrupt:
        return 130
    except TOLD as error:
        if os.environ.get("BERTNP_DEBUG") == "1":
            traceback.print_exc()
        print(f"bertnp: error: {one_line(error)}", file=sys.stderr)
        return 2
    finally:
        logger.setLevel(level)


def run_together(argv):
    """Run a command line, those that train with all the processes that a launcher has started."""
    if argv and argv[0] in TRAINING:
        from bertnp.cli.several import run_in_all
        from bertnp.training.processes import find

        processes = find()
        if processes.size > 1:
            return run_in_all(lambda: run(argv), processes)
    return run(argv)


def run(argv):
    from bertnp.cli.arguments import Parser

    if argv and argv[0] in COMMANDS:
        words, rest = argv[:1], argv[1:]
        command = importlib.import_module(f"bertnp.cli.{argv[0].replace('-', '_')}")
        if rest and rest[0] in getattr(command, "ACTIONS", ()):
            words, rest = argv[:2], argv[2:]
            command = importlib.import_module(f"bertnp.cli.{'_'.join(words)}")
        parser = Parser(prog=f"bertnp {' '.join(words)}", description=command.__doc__, epilog=command.EXAMPLES)
        command.add_arguments(parser)
        return command.run(parser.parse_intermixed_args(rest)) or 0
    from bertnp import __version__

    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="bertnp", usage="bertnp COMMAND ...", epilog=EXAMPLES,
        description=f"BERT written out by hand in NumPy and CuPy.\n\ncommands:\n{listing}",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"bertnp {__version__}")
    parser.add_argument("command", nargs="?", help=f"one of {', '.join(COMMANDS)}")
    command = parser.parse_known_args(argv)[0].command
    if command is not None:
        parser.error(f"there is no command {command!r}; there are {', '.join(COMMANDS)}")
    parser.print_help()
    return 0


def one_line(error):
    """What an error says, on one line."""
    if isinstance(error, OSError) and error.strerror:
        named = error.filename if error.filename2 is None else error.filename2
        text = error.strerror if named is None else f"{named}: {error.strerror}"
    else:
        text = str(error)
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text or 'no more to be had'}): try a smaller --batch-size"
    return " ".join(text.split()) or type(error).__name__
