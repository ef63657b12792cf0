"""One look for all pictures: legible at the width of a page, in grey, and to eyes that don't see every colour.

matplotlib is loaded when a picture is drawn, and neither its settings nor its choice of window change.
"""

import io
import warnings
from contextlib import contextmanager

from bertnp.backend.files import atomic_path

PAGE_WIDTH = 6.5  # inches
DOTS_PER_INCH = 160
# Okabe & Ito's colours, from dark to light; each series has a line style and a marker of its own, too.
SERIES = (
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#0072B2", "linestyle": "--", "marker": "s"},
    {"color": "#D55E00", "linestyle": "-.", "marker": "^"},
    {"color": "#009E73", "linestyle": ":", "marker": "D"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": "#E69F00", "linestyle": (0, (3, 1)), "marker": "P"},
)
SHADES = "Blues"  # from white to dark: its order stays in grey
HOUSE_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 3.5,
    "figure.dpi": DOTS_PER_INCH,
    "savefig.dpi": DOTS_PER_INCH,
    "text.parse_math": False,  # a dollar sign in a label is a dollar sign
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture everywhere
}


@contextmanager
def picture(path, width=PAGE_WIDTH, height=2.8):
    """Give an empty figure to draw on; when the block ends well it is written to `path` as PNG, atomically.

    The same figure gives the same bytes, whatever the user's matplotlib settings are.
    """
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", HOUSE_STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", metadata={"Software": None})
    with atomic_path(path) as temporary:
        temporary.write_bytes(drawn.getvalue())


CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "STHeiti", "Heiti TC",
    "Noto Sans CJK TC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS", "SimSun", "Noto Serif CJK SC",
)  # fmt: skip


def drawable(texts):
    """How texts can be drawn here: with which fonts, and by which number each that no font has.

    ->  labels: as many, a number in place of a text that can't be drawn   key: {number: text}   fonts: names
    """
    from matplotlib import font_manager

    files = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    fonts, missing = ["DejaVu Sans"], set("".join(texts))
    for name in ("DejaVu Sans", *CHINESE_FONTS):
        if name in files and missing:
            glyphs = font_manager.get_font(files[name]).get_charmap()
            left = {character for character in missing if ord(character) not in glyphs}
            if len(left) < len(missing) and name not in fonts:
                fonts.append(name)
            missing = left
    numbers = {}
    labels = [str(numbers.setdefault(t, len(numbers) + 1)) if missing & set(t) else t for t in texts]
    return labels, {number: text for text, number in numbers.items()}, fonts
