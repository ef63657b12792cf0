"""List the chapters, run one, make a notebook of it, or unpack them all into a folder of your own."""

import shutil
import subprocess
import sys
from pathlib import Path

from bertnp.cli.arguments import writable_file

EXAMPLES = """\
examples:
  bertnp chapters                           all of them, one line each
  bertnp chapters run 6                     run chapter 6; pictures go to the folder figures
  bertnp chapters run 14 -- --full          with an option of the chapter's own
  bertnp chapters notebook 6 -o ch06.ipynb  a notebook of it (needs the extra: pip install 'bertnp[notebook]')
  bertnp chapters init my-bert              a workspace: all chapters and pictures, to read, change and run
"""


def add_arguments(parser):
    parser.add_argument("action", nargs="?", default="list", choices=("list", "run", "notebook", "init"),
                        help="what to do (default: list)")  # fmt: skip
    parser.add_argument("what", nargs="?", metavar="NUMBER|DIR", help="the chapter's number; for init, the new folder")
    parser.add_argument("options", nargs="*", metavar="OPTION", help="for run: the chapter's own, after --")
    parser.add_argument("-o", "--output", type=writable_file, metavar="FILE.ipynb", help="where the notebook goes")


def run(args):
    if args.action == "list":
        return list_chapters()
    if args.what is None:
        wanted = "the name of a new folder" if args.action == "init" else "the number of a chapter"
        raise ValueError(f"{args.action}: expected {wanted} (see bertnp chapters --help)")
    if args.action == "init":
        return unpack(Path(args.what))
    if not args.what.isdecimal():
        raise ValueError(f"{args.action}: expected the number of a chapter, got {args.what!r}")
    from bertnp.learn.chapters import find

    chapter = find(int(args.what))
    if args.action == "notebook":
        return write_notebook(chapter, args.output or Path(f"{chapter.path.stem}.ipynb"))
    return subprocess.run([sys.executable, str(chapter.path), *args.options]).returncode


def list_chapters():
    from bertnp.learn.chapters import chapters

    for chapter in chapters():
        about = f"{chapter.title}: {chapter.about}" if chapter.about else chapter.title
        print(f"{chapter.number:02}  {about}  [{chapter.runtime}]")
    return 0


def write_notebook(chapter, path):
    """Write a chapter as a notebook, without results: run it in Jupyter or VS Code."""
    try:
        import jupytext
    except ImportError as error:
        raise ImportError("notebooks need jupytext: pip install 'bertnp[notebook]'") from error
    from bertnp.backend.files import write_text

    cells = jupytext.read(chapter.path, fmt="py:percent")
    cells.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for place, cell in enumerate(cells.cells):
        cell["id"] = f"cell-{place}"  # the same notebook every time
    write_text(path, jupytext.writes(cells, fmt="ipynb"))
    print(path)
    return 0


def unpack(folder):
    """Copy chapters and pictures into a new or empty folder."""
    from bertnp.backend.files import atomic_folder
    from bertnp.learn.chapters import chapters_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; expected the name of a new folder")
    source = chapters_folder()
    with atomic_folder(folder) as new:
        for name, kinds in (("chapters", ("*.py", "*.md")), ("figures", ("*.png",))):
            (new / name).mkdir()
            for path in sorted(file for kind in kinds for file in (source.parent / name).glob(kind)):
                shutil.copyfile(path, new / name / path.name)
    count = len(list((folder / "chapters").glob("ch*.py")))
    print(f"{folder}: {count} chapters; begin with {folder / 'chapters' / 'README.md'}")
    return 0
