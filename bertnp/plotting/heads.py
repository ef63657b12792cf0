"""Pictures of attention heads: how important each is, and how a model does without them."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SERIES, SHADES, picture
from bertnp.plotting.training import NAMES

MOST_NUMBERS = 16  # heads in a layer up to which their numbers are written out


def head_importance(importance, path, unit="importance, layer by layer"):
    """Draw a map of all heads, a row for each layer; the darker the more important.

    importance: (L, A)   path: of the PNG   unit: what the numbers are
    """
    importance = np.asarray(importance)
    L, A = importance.shape
    with picture(path, PAGE_WIDTH, min(1.3 + 0.3 * L, 8.0)) as figure:
        axes = figure.subplots()
        image = axes.imshow(importance, cmap=SHADES, vmin=0, aspect="auto")
        axes.grid(False)
        axes.set(xlabel="head", ylabel="layer", title="what the loss owes to each head")
        axes.set_xticks(range(0, A, -(-A // 16)), [str(a + 1) for a in range(0, A, -(-A // 16))])
        axes.set_yticks(range(L), [str(layer + 1) for layer in range(L)])
        if A <= MOST_NUMBERS and L <= 24:
            middle = importance.max() / 2
            for place, value in np.ndenumerate(importance):
                color = "white" if value > middle else "black"
                axes.text(*place[::-1], f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        figure.colorbar(image, label=unit)


def ablation(curves, path, metric):
    """Draw what a model scores with fewer and fewer heads.

    curves: {name: [(heads taken out, score), ...]}   path: of the PNG   metric: the name of the score
    """
    with picture(path, PAGE_WIDTH, 3.2) as figure:
        axes = figure.subplots()
        for series, (name, curve) in zip(SERIES, curves.items(), strict=False):
            x, y = zip(*curve, strict=True)
            axes.plot(x, [np.nan if value is None else value for value in y], label=name, **series)
        axes.set(xlabel="heads taken out", ylabel=NAMES.get(metric, metric), title="without some of its heads")
        axes.legend(title="taken out first", fontsize=8, title_fontsize=8)
