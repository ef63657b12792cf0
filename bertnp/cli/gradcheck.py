"""Check hand-written gradients against slopes of their forwards: formulas, layers, whole models, or your own file."""

import importlib.util
import json
import sys
from pathlib import Path

from bertnp.cli.arguments import note, number

EXAMPLES = """\
examples:
  bertnp gradcheck                                  everything: formulas, layers, models
  bertnp gradcheck softmax layer_norm               two formulas
  bertnp gradcheck BertLayer model                  a layer, and all models
  bertnp gradcheck softmax --file my_softmax.py     your softmax and softmax_backward in place of the library's

The exit code is 1 if a gradient is wrong."""

FIGURES = "figures"
GROUPS = ("formulas", "layers", "model")


def add_arguments(parser):
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a formula, a layer, a model, or formulas, layers, model for all of these (default: all)",
    )
    parser.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="a Python file: its functions NAME and NAME_backward are checked (this runs the file)",
    )
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="where to compute (default: cpu)")
    parser.add_argument("--seed", type=number(int, 0), default=0, metavar="N", help="of the numbers (default: 0)")
    parser.add_argument(
        "--method",
        default="central",
        choices=("central", "5point", "complex"),
        help="how slopes are taken (default: central)",
    )
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="DIR",
        help=f"where pictures of the gradients go: of what is named, and of what fails "
        f"(default: {FIGURES}, in a checkout or where there is such a folder)",
    )
    parser.add_argument("--no-figures", action="store_true", help="draw nothing")
    parser.add_argument("--list", action="store_true", help="print the names that can be checked")  # fmt: skip


def run(args):
    from bertnp.gradcheck.cases import has_backward, names
    from bertnp.gradcheck.model_cases import LAYERS, MODELS

    known = {
        "formulas": [name for name in names() if has_backward(name) or args.file],
        "layers": list(LAYERS),
        "model": list(MODELS),
    }
    if args.list:
        for group in GROUPS:
            print(f"{group}: {', '.join(known[group])}")
        return 0
    own = functions_of(args.file, known["formulas"]) if args.file else {}
    chosen = chosen_names(args.names, known, own)
    folder = figures_folder(args)
    reports = []
    for group, name in chosen:
        draw = folder is not None and (name in args.names or name in own)
        report = one_report(group, name, args, own.get(name, {}), "all" if draw else "auto")
        reports.append(report)
        if not args.json:
            print(report, end="\n\n")
        if folder is not None and (draw or not report.ok) and any(row.checked for row in report.rows):
            path = report.heatmap(folder / f"gradcheck_{name.replace(', ', '_').replace(' ', '_')}.png")
            note(f"drew {path}")
    wrong = [report.title for report in reports if not report.ok]
    if args.json:
        print(json.dumps([report.to_dict() for report in reports], indent=2))
    else:
        tensors = sum(len(report.rows) for report in reports)
        verdict = f"wrong: {', '.join(wrong)}" if wrong else "all right"
        print(f"{len(reports)} checked, {tensors} gradients: {verdict}")
    return 1 if wrong else 0


def one_report(group, name, args, own, coords):
    from bertnp.gradcheck import check_formula, check_layer, check_model
    from bertnp.gradcheck.model_cases import layer_case, model_case

    common = {"seed": args.seed, "method": args.method}
    if group == "formulas":
        return check_formula(name, device=args.device, max_coords=10**6 if coords == "all" else 64, **own, **common)
    if group == "layers":
        layer, inputs = layer_case(name, args.seed, args.device)
        return check_layer(layer, *inputs, title=name, coords=coords, **common)
    model, batch = model_case(name, args.seed, args.device)
    return check_model(model, batch, title=name, **common)


def chosen_names(asked, known, own):
    """(group, name) of what to check. ValueError for a name that there is none of."""
    everything = {name: group for group in GROUPS for name in known[group]}
    if own:
        asked = asked or list(own)
        for name in asked:
            if name not in own:
                raise ValueError(f"--file: neither {name} nor {name}_backward is in it; it has {', '.join(own)}")
    chosen = []
    for name in asked or GROUPS:
        if name in GROUPS:
            chosen += [(name, one) for one in known[name]]
        elif name in everything:
            chosen.append((everything[name], name))
        else:
            raise ValueError(f"there is nothing called {name!r} to check; bertnp gradcheck --list shows what there is")
    return list(dict.fromkeys(chosen))


def functions_of(path, formulas):
    """{formula: {"forward": …, "backward": …}} of the functions that a Python file defines under formulas' names."""
    if not path.is_file():
        raise ValueError(f"--file: there is no file {path}")
    specification = importlib.util.spec_from_file_location("checked_file", path)
    if specification is None:
        raise ValueError(f"--file: expected a Python file, got {path}")
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.parent))  # so that it can import what stands beside it
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"--file: {path} raised {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    found = {}
    for name in formulas:
        parts = {"forward": getattr(module, name, None), "backward": getattr(module, f"{name}_backward", None)}
        parts = {part: function for part, function in parts.items() if callable(function) and not is_ours(function)}
        if parts:
            found[name] = parts
    if not found:
        raise ValueError(f"--file: {path} defines no formula, such as softmax or softmax_backward")
    return found


def is_ours(function):
    """Whether a function was merely imported from the library."""
    return getattr(function, "__module__", "").startswith("bertnp.")


def figures_folder(args):
    """Where pictures go, or None: the folder asked for, or ./figures in a checkout or where there is one."""
    if args.no_figures:
        return None
    if args.figures is not None:
        if args.figures.exists() and not args.figures.is_dir():
            raise ValueError(f"--figures: {args.figures} is no folder")
        return args.figures
    return Path(FIGURES) if Path(FIGURES).is_dir() or Path("chapters").is_dir() else None
