"""Pictures for the chapters: tables of numbers as colours, curves, and tokens in boxes."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SERIES, SHADES, picture

SIGNED = "cividis"  # from dark blue to yellow, ever lighter: signs stay apart in grey
MOST_NUMBERS = 160  # cells up to which their numbers are written out
MANY = 13  # rows or columns from which on they are counted along the edge
LEVEL = {"color": "#666666", "linewidth": 1.0, "zorder": 1}


def matrices(panels, path, shares=False, limit=None, columns=None, height=2.6, number="{:.2f}", unit=None):
    """Draw tables of numbers as heat maps of one scale, side by side, each cell with its number where they are few.

    panels: dictionaries with title, values (rows, columns), and maybe rows, columns (labels), xlabel, ylabel
    shares: numbers from 0 to 1, white to dark; else signed ones, dark to light around 0   limit: the largest
    columns: panels in a line; None: all   height: of a line, inches   unit: what the colours are
    """
    everything = np.concatenate([np.ravel(panel["values"]) for panel in panels])
    limit = limit or (1.0 if shares else float(np.nanmax(np.abs(everything))) or 1.0)
    columns = columns or len(panels)
    lines = -(-len(panels) // columns)
    width = 0.8 * PAGE_WIDTH / columns
    with picture(path, PAGE_WIDTH, height * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(grid.flat, panels, strict=False):
            image = _matrix(axes, panel, shares, limit, number, len(everything) <= MOST_NUMBERS, width)
        figure.colorbar(image, ax=grid, shrink=0.8, pad=0.02, label=unit)


def _matrix(axes, panel, shares, limit, number, written, width):
    values = np.atleast_2d(panel["values"])
    low = 0.0 if shares else -limit
    image = axes.imshow(values, cmap=SHADES if shares else SIGNED, vmin=low, vmax=limit, aspect="auto",
                        interpolation="nearest")  # fmt: skip
    axes.grid(False)
    axes.spines[:].set_visible(True)
    if written:
        _write(axes, values, (values - low) / (limit - low), 0.55 if shares else 0.5, shares, number, width)
    across, down = ([str(label) for label in panel.get(name) or []] for name in ("columns", "rows"))
    crowded = max(map(len, across), default=0) * len(across) > 24
    if across or values.shape[1] < MANY:  # else numbers, as matplotlib chooses them
        axes.set_xticks(range(len(across)), across, fontsize=8, rotation=90 if crowded else 0)
    if down or values.shape[0] < MANY:
        axes.set_yticks(range(len(down)), down, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_title(panel["title"], fontsize=9)
    axes.set(xlabel=panel.get("xlabel", ""), ylabel=panel.get("ylabel", ""))
    return image


def _write(axes, values, brightness, middle, dark_is_large, number, width):
    """Write the numbers into the cells of a table that is so many inches wide."""
    texts = {place: _without_minus_zero(number.format(value)) for place, value in np.ndenumerate(values)}
    room = 72 * width / values.shape[1] / max(map(len, texts.values()))  # points for a character
    for (i, j), text in texts.items():
        dark = (brightness[i, j] > middle) == dark_is_large
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black",
                  fontsize=min(8.0, 1.5 * room))  # fmt: skip


def _without_minus_zero(text):
    return text if float(text) else text.removeprefix("-")


def curves(panels, path, height=2.8, width=PAGE_WIDTH, columns=None):
    """Draw curves, one panel beside the other.

    panels: dictionaries with series {name: (x, y)}, title, xlabel, ylabel, and maybe log ("x", "y" or "xy"),
    levels {name: y}, markers (True for a mark at each point), xlim, ylim, xticks, yticks
    height: of a line of panels, inches   columns: panels in a line; None: all
    """
    columns = columns or len(panels)
    lines = -(-len(panels) // columns)
    with picture(path, width, height * lines) as figure:
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, panel in zip(grid.flat, panels, strict=False):
            for style, (name, (x, y)) in zip(SERIES, panel["series"].items(), strict=False):
                style = style if panel.get("markers") else {**style, "marker": ""}
                axes.plot(x, y, label=name, **style)
            for style, (name, y) in zip(("--", ":", "-."), panel.get("levels", {}).items(), strict=False):
                axes.axhline(y, linestyle=style, label=name, **LEVEL)
            for letter in panel.get("log", ""):
                getattr(axes, f"set_{letter}scale")("log")
                getattr(axes, f"{letter}axis").set_major_formatter("{x:g}")
                getattr(axes, f"{letter}axis").set_minor_formatter("")
            for letter in "xy":
                if f"{letter}ticks" in panel:
                    ticks = panel[f"{letter}ticks"]
                    getattr(axes, f"{letter}axis").set_ticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set(title=panel.get("title", ""), xlabel=panel["xlabel"], ylabel=panel["ylabel"])
            axes.set(**{name: panel[name] for name in ("xlim", "ylim") if name in panel})
            if len(panel["series"]) > 1 or panel.get("levels"):
                axes.legend(fontsize=7.5)


def tokens(lines, path, height=None):
    """Draw lines of boxes, each as wide as its share of the line: a text, cut finer from line to line.

    lines: (name, boxes) with boxes (first, last, text, shade): the places it covers, and how dark it is, 0 to 1
    """
    places = max(last for _, boxes in lines for _, last, _, _ in boxes)
    with picture(path, PAGE_WIDTH, height or 0.35 + 0.62 * len(lines)) as figure:
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set(xlim=(-0.02 * places, 1.01 * places), ylim=(len(lines), 0))
        blues = _shades()
        for line, (name, boxes) in enumerate(lines):
            axes.text(0, line + 0.22, name, fontsize=8, color="#444444", va="center")
            for first, last, text, shade in boxes:
                axes.add_patch(_box(first, line + 0.38, last - first, 0.52, blues(0.08 + 0.62 * shade)))
                axes.text((first + last) / 2, line + 0.64, text, ha="center", va="center", fontsize=8,
                          color="white" if shade > 0.75 else "black")  # fmt: skip


def _shades():
    from matplotlib import colormaps

    return colormaps[SHADES]


def _box(x, y, width, height, colour):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor="#444444", linewidth=0.7)


def layer_norm_circle(centred, normalised, arriving, leaving, path):
    """Draw how layer norm of three numbers pulls vectors onto a circle, and what it leaves of their gradients.

    All (n, 2), in the plane of vectors that add up to zero.   path: of the PNG
    """
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.sqrt(3) * np.cos(angle), np.sqrt(3) * np.sin(angle)
    far = 1.08 * np.abs(np.concatenate([centred, normalised + arriving, normalised + leaving])).max()
    with picture(path, PAGE_WIDTH, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            axes.plot(*circle, color="#888888", linewidth=1.0, zorder=1)
            axes.set(aspect="equal", xticks=[], yticks=[], xlim=(-far, far), ylim=(-far, far))
            axes.spines[:].set_visible(False)
            axes.plot(*normalised.T, linestyle="none", marker="o", color=SERIES[1]["color"], label="x̂")
        for start, end in zip(centred, normalised, strict=True):
            left.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "#888888"})
        left.plot(*centred.T, linestyle="none", marker="s", color=SERIES[2]["color"], label="x - μ")
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "zorder": 3}
        right.quiver(
            *normalised.T, *arriving.T, color="#AAAAAA", width=0.008, label="gradient that arrives: g", **arrows
        )
        right.quiver(*normalised.T, *leaving.T, color="black", width=0.01, label="what is left: σ dx", **arrows)
        left.set_title("forward: every vector lands on the circle", fontsize=9)
        right.set_title("backward: only what runs along the circle", fontsize=9)
        for axes in (left, right):
            axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=3, columnspacing=1.2,
                        handlelength=1.5)  # fmt: skip
