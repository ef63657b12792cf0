"""What the chapters show: code of the library, arrays, pictures; and where the reader stands with the exercises."""

from bertnp.learn.pictures import draw
from bertnp.learn.progress import open_exercises
from bertnp.learn.showing import show

__all__ = ["draw", "open_exercises", "show"]
