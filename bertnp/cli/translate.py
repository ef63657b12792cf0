"""Train an encoder-decoder Transformer (Vaswani et al. 2017) on pairs of sentences, and translate with it.

`bertnp translate train` makes the vocabularies and the model, `bertnp translate run` uses it. See the help of each.
"""

EXAMPLES = """\
examples:
  bertnp translate train -o dates
  bertnp translate run "the 3rd of March 1994" --model dates
  bertnp translate train --help
  bertnp translate run --help
"""
ACTIONS = ("train", "run")


def add_arguments(parser):
    parser.add_argument("action", nargs="?", help="train or run")


def run(args):
    if args.action is None:
        raise ValueError("say what to do: bertnp translate train, or bertnp translate run (see --help)")
    raise ValueError(f"there is no action {args.action!r}; there are {' and '.join(ACTIONS)}")
