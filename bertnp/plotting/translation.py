"""Pictures of a Transformer that translates."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SHADES, drawable, picture


def cross_attention(source, target, attentions, path, each_head=False):
    """Draw how much each token that was written looked at each token of the source; a row's shares sum to one.

    source, target: (S,) and (U,) tokens, as strings   attentions: for each layer (A, U, S)   path: of the PNG
    each_head: a panel for each head; otherwise one a layer, the mean over its heads
    ->  {number: token} of tokens that no installed font has: they stand there by these numbers
    """
    labels, key, fonts = drawable([*source, *target])
    S, U = len(source), len(target)
    drawn = {}  # title -> (U, S)
    for number, layer in enumerate(map(np.asarray, attentions), 1):
        if each_head:
            drawn |= {f"layer {number}, head {head}": shares for head, shares in enumerate(layer, 1)}
        else:
            drawn[f"layer {number}"] = layer.mean(axis=0)
    columns = max(1, min(len(attentions[0]) if each_head else len(drawn), 60 // S))
    rows = -(-len(drawn) // columns)
    small = max(4.0, min(9.0, 0.85 * 72 * (PAGE_WIDTH - 1.6) / (columns * S)))
    side = min((PAGE_WIDTH - 1.6) / columns / S, 0.35) * U  # square cells, but no large ones
    with picture(path, PAGE_WIDTH, rows * (max(side, 0.018 * small * U) + 0.45) + 0.9) as figure:
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes in panels.flat[len(drawn) :]:
            axes.set_axis_off()
        for axes, (title, shares) in zip(panels.flat, drawn.items(), strict=False):
            image = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
            axes.grid(False)
            axes.set_title(title)
            axes.set_xticks(range(S), labels[:S], rotation=90, fontsize=small, fontfamily=fonts)
            axes.set_yticks(range(U), labels[S:], fontsize=small, fontfamily=fonts)
        figure.supxlabel("source: is looked at", fontsize=9)
        figure.supylabel("translation: looks", fontsize=9)
        figure.colorbar(image, ax=panels, label="share of attention", shrink=0.8)
    return key


def sinusoids(table, path, columns=(8, 16, 24)):
    """Draw the sines and cosines that tell positions: all as a map, some as curves, and which positions are alike.

    table: (length, H), `bertnp.functional.sinusoids`   path: of the PNG   columns: those drawn as curves
    """
    length, H = table.shape
    with picture(path, PAGE_WIDTH, 5.2) as figure:
        panels = figure.subplots(2, 2)
        image = panels[0, 0].imshow(table, cmap="gray", vmin=-1, vmax=1, aspect="auto")
        panels[0, 0].set(title="the table", xlabel="component", ylabel="position")
        figure.colorbar(image, ax=panels[0, 0])
        styles = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
        for style, column in zip(styles, (c for c in columns if c < H), strict=False):
            shade = 0.7 * column / max(columns)
            panels[0, 1].plot(table[:, column], linestyle=style, color=str(shade), label=f"component {column}")
        panels[0, 1].set(title="some components", xlabel="position", ylabel="value", ylim=(-1.1, 1.9))
        panels[0, 1].legend(fontsize=7, loc="upper center")
        products = table @ table.T / (H / 2)
        image = panels[1, 0].imshow(products, cmap=SHADES, vmin=0, vmax=1)
        panels[1, 0].set(title="how alike two positions are", xlabel="position", ylabel="position")
        figure.colorbar(image, ax=panels[1, 0])
        for style, place in zip(styles, (0, length // 2), strict=False):
            distances = np.arange(length) - place
            label = f"from position {place}"
            panels[1, 1].plot(distances, products[place], linestyle=style, color="black", label=label)
        panels[1, 1].set(title="it depends on the distance alone", xlabel="distance", ylabel="p · q / (H/2)")
        panels[1, 1].legend(fontsize=7)
        for axes in (panels[0, 0], panels[1, 0]):
            axes.grid(False)
