"""Where a chapter's pictures go, and how they come to be seen."""

import os
import sys
from pathlib import Path


def draw(picture, name, **data):
    """Have `picture`, a function of bertnp.plotting, draw `data` into the figures folder; returns the path.

        draw(plotting.curves, "ch07_gelu.png", x=x, series={"GELU": y})

    A notebook shows the picture, a script says where it is.
    """
    path = figures_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(path=path, **data)
    if "ipykernel" in sys.modules:
        from IPython.display import Image, display

        display(Image(filename=str(path)))
    else:
        print(f"picture: {path}\n")
    return path


def figures_folder():
    """BERTNP_FIGURES, or `figures` beside the folder of chapters that runs, or else in the current one."""
    if os.environ.get("BERTNP_FIGURES"):
        return Path(os.environ["BERTNP_FIGURES"])
    script = getattr(sys.modules["__main__"], "__file__", None)
    folder = Path(script).resolve().parent if script else Path.cwd()
    return figures_beside(folder) if folder.name == "chapters" else Path("figures")


def figures_beside(chapters):
    """The folder `figures` that belongs to a folder of chapters; to installed ones, where nothing is written: here."""
    installed = chapters.resolve().parent.parts[-2:] == ("share", "bertnp")  # where a wheel puts them
    return Path("figures") if installed else chapters.parent / "figures"
