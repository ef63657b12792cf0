"""Pictures of what pre-training has learnt, and what it is good for."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SERIES, SHADES, picture

LEVEL = {"color": "#666666", "linewidth": 1.0, "zorder": 1}
LEVEL_STYLES = ("--", ":", "-.")


def loss_and_floor(steps, losses, levels, path, accuracies=None, accuracy_levels=None):
    """Draw how the held-out loss of masked words falls, between levels such as the best possible one.

    steps, losses: where it was measured, and the loss in nats   levels: {name: loss}   path: of the PNG
    accuracies, accuracy_levels: the same for the next sentence, shares of right answers, in a second panel; or None
    """
    with picture(path, PAGE_WIDTH if accuracies else PAGE_WIDTH / 1.5, 3.0) as figure:
        panels = figure.subplots(1, 2 if accuracies else 1, squeeze=False)[0]
        panels[0].plot(steps, losses, label="BERT", **SERIES[1])
        _levels(panels[0], levels)
        panels[0].set(title="masked words of held-out stories", ylabel="mean loss (nats per word)")
        panels[0].set_ylim(bottom=0)
        if accuracies:
            panels[1].plot(steps, accuracies, label="BERT", **SERIES[1])
            _levels(panels[1], accuracy_levels)
            panels[1].set(title="does the second part follow?", ylabel="share of right answers", ylim=(0.4, 1.0))
        for axes in panels:
            axes.set(xlabel="step")
            axes.set_xlim(left=0)
            axes.legend(fontsize=8)


def _levels(axes, levels):
    for style, (name, value) in zip(LEVEL_STYLES, levels.items(), strict=False):
        axes.axhline(value, linestyle=style, label=f"{name} ({value:.2f})", **LEVEL)


def attention(tokens, attentions, path):
    """Draw how much each token looks at which, a heat map for each head; a row's shares sum to one.

    tokens: (S,) strings   attentions: for each layer (A, S, S)   path: of the PNG
    """
    L, A, S = len(attentions), len(attentions[0]), len(tokens)
    small = max(4.5, min(8.0, 60 * PAGE_WIDTH / (A * S)))
    side = (PAGE_WIDTH - 1.9) / A
    with picture(path, PAGE_WIDTH, L * (side + 0.3) + 0.9) as figure:
        panels = figure.subplots(L, A, squeeze=False, sharex=True, sharey=True)
        for layer, heads in enumerate(attentions):
            for head, shares in enumerate(np.asarray(heads)):
                axes = panels[layer, head]
                image = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
                axes.grid(False)
                axes.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=9)
                axes.set_xticks(range(S), tokens, rotation=90, fontsize=small)
                axes.set_yticks(range(S), tokens, fontsize=small)
        figure.supxlabel("is looked at", fontsize=9)
        figure.supylabel("looks", fontsize=9)
        figure.colorbar(image, ax=panels, label="share of attention", shrink=0.8)


def accuracy_by_labels(counts, accuracies, path):
    """Draw the accuracy against the number of labelled examples: mean, spread, and each run.

    counts: (n,)   accuracies: {name: (n, seeds) shares}   path: of the PNG
    """
    with picture(path, PAGE_WIDTH / 1.3, 3.2) as figure:
        axes = figure.subplots()
        for style, (name, runs) in zip(SERIES, accuracies.items(), strict=False):
            runs = np.asarray(runs)
            mean, spread = runs.mean(axis=1), runs.std(axis=1)
            axes.plot(counts, mean, label=f"{name}: mean", **style)
            axes.fill_between(counts, mean - spread, np.minimum(mean + spread, 1), color=style["color"], alpha=0.15,
                              linewidth=0, label=f"{name}: ± standard deviation")  # fmt: skip
        axes.axhline(0.5, linestyle=":", label="guessing", **LEVEL)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set(xlabel="labelled sentences", ylabel=f"accuracy on new sentences, {runs.shape[1]} seeds")
        axes.set_ylim(0.4, 1.02)
        axes.legend(fontsize=8, loc="lower right")
