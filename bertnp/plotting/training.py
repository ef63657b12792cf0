"""Pictures of a training and of what came of it."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SERIES, SHADES, picture

NAMES = {
    "accuracy": "accuracy", "f1": "F1", "f1_macro": "F1 (macro)", "matthews": "Matthews' correlation",
    "token_accuracy": "right tokens", "exact_match": "exact match",
    "f1_micro": "F1 (micro)", "precision": "precision", "recall": "recall", "exact": "exact match",
    "pearson": "Pearson's correlation", "spearman": "Spearman's correlation", "rmse": "root mean squared error",
}  # fmt: skip
SETTINGS = {"lr": "learning rate", "augment copies": "changed copies of each text"}
MOST_NUMBERS = 20  # classes up to which the cells of a confusion matrix are written out


def learning_curve(metrics, path):
    """Draw training and held-out loss, and the held-out metrics, against the epochs.

    metrics: a trainer's record, the contents of metrics.json   path: of the PNG
    """
    epochs = metrics["history"]
    x = [epoch["epoch"] for epoch in epochs]
    held_out = [epoch["held_out"] for epoch in epochs if epoch["held_out"]]
    every = {"markevery": -(-len(x) // 10)}
    best = metrics["best"]["epoch"] if held_out and metrics["best"] else None
    with picture(path, PAGE_WIDTH if held_out else PAGE_WIDTH / 2) as figure:
        panels = figure.subplots(1, 2 if held_out else 1, squeeze=False)[0]
        panels[0].plot(x, [epoch["train_loss"] for epoch in epochs], label="training", **SERIES[0], **every)
        if held_out:
            panels[0].plot(x, [scores["loss"] for scores in held_out], label="held out", **SERIES[1], **every)
            for series, name in zip(SERIES, [n for n in held_out[0] if n not in ("loss", "rmse")], strict=False):
                values = [np.nan if scores[name] is None else scores[name] for scores in held_out]
                panels[1].plot(x, values, label=NAMES.get(name, name), **series, **every)
            panels[1].set(title="metrics on held-out texts", ylabel="value", xlabel="epoch")
        panels[0].set(title="loss", ylabel="mean loss per example", xlabel="epoch")
        panels[0].set_ylim(bottom=0)
        for axes in panels:
            axes.set_xticks(_few(x))
            axes.set_xlim(x[0] - 0.25, x[-1] + 0.25)
            if best is not None:
                axes.axvline(best, color="#888888", linewidth=0.8, zorder=0, label=f"best epoch ({best})")
            axes.legend(fontsize=8)


def training_curves(lines, path):
    """Draw how loss and accuracies went over the steps, of a training that may be running still.

    lines: those of the log metrics.jsonl, as dictionaries   path: of the PNG
    """
    training = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if line.get("held_out")]
    if not training:
        raise ValueError("the log has no line with a loss yet")
    panels = [("loss", "mean loss", {"masked_lm_loss": "masked words", "next_sentence_loss": "next sentence",
                                     "loss": "sum of both"})]  # fmt: skip
    if "masked_lm_loss" not in training[0]:
        panels = [("loss", "mean loss", {"loss": "loss"})]
    elif "next_sentence_loss" not in training[0]:
        panels = [("loss", "mean loss", {"masked_lm_loss": "masked words"})]
    shares = {"masked_lm_accuracy": "masked words", "next_sentence_accuracy": "next sentence", "accuracy": "accuracy"}
    found = {name for line in (training[0], *(line["held_out"] for line in held_out[:1])) for name in line}
    if found & set(shares):
        panels.append(("right answers", "share", {name: label for name, label in shares.items() if name in found}))
    with picture(path, PAGE_WIDTH if len(panels) > 1 else PAGE_WIDTH / 1.5, 3.0) as figure:
        for axes, (title, unit, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            for style, (name, label) in zip(SERIES, series.items(), strict=False):
                x, y = _binned([(line["step"], line[name]) for line in training if name in line])
                if x:
                    axes.plot(x, y, color=style["color"], linestyle=style["linestyle"], label=f"{label}, training")
                points = [(line["step"], line["held_out"].get(name)) for line in held_out]
                points = [point for point in points if point[1] is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), color=style["color"], linestyle="none",
                              marker=style["marker"], mfc="white", label=f"{label}, held out")  # fmt: skip
            axes.set(title=title, xlabel="step", ylabel=unit)
            axes.set_ylim(bottom=0, top=1.0 if unit == "share" else None)
            axes.set_xlim(left=0)
            axes.margins(x=0.02)
            axes.legend(fontsize=7.5)


def _binned(points, most=150):
    """(steps, values) with means over neighbours where there are more than so many points."""
    size = -(-len(points) // most) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [group[-1][0] for group in groups], [sum(value for _, value in group) / len(group) for group in groups]


def confusion_matrix(matrix, labels, path):
    """Draw how many examples of each class were predicted as which.

    matrix: (C, C) counts, a row for each true class   labels: the names of the classes   path: of the PNG
    """
    matrix = np.asarray(matrix)
    C = len(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = min(PAGE_WIDTH, max(3.4, 1.6 + 0.5 * C))
    with picture(path, size, size * 0.86) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
        axes.grid(False)
        names = [_short(label) for label in labels]
        small = max(4.0, min(9.0, 190 / C))
        axes.set_xticks(range(C), names, rotation=90 if C > 4 or max(map(len, names)) > 8 else 0, fontsize=small)
        axes.set_yticks(range(C), names, fontsize=small)
        axes.set(xlabel="predicted class", ylabel="true class")
        if C <= MOST_NUMBERS:
            for i in range(C):
                for j in range(C):
                    text = f"{matrix[i, j]:,}" + (f"\n{shares[i, j]:.0%}" if C <= 8 else "")
                    colour = "white" if shares[i, j] > 0.55 else "black"
                    axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=min(9.0, 100 / C))
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.85)


def predicted_against_true(labels, predicted, path):
    """Draw the numbers a regression predicted against the true ones.

    labels, predicted: (n,) numbers   path: of the PNG
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted).reshape(-1)
    low, high = min(labels.min(), predicted.min()), max(labels.max(), predicted.max())
    margin = 0.05 * (high - low) or 1.0
    ends = [low - margin, high + margin]
    with picture(path, 3.8, 3.6) as figure:
        axes = figure.subplots()
        axes.plot(ends, ends, color="#888888", linestyle="--", linewidth=1.0, label="predicted = true")
        alpha = 0.6 if len(labels) < 500 else 0.25
        axes.plot(labels, predicted, linestyle="none", marker="o", color=SERIES[1]["color"], alpha=alpha, mew=0,
                  label=f"{len(labels):,} held-out texts")  # fmt: skip
        axes.set(xlabel="true value", ylabel="predicted value", xlim=ends, ylim=ends, aspect="equal")
        axes.legend(fontsize=8)


def sweep(setting, measure, lines, path):
    """Draw what came of trainings with different settings: the score against one of them, a line for each of the rest.

    setting, measure: what they are called
    lines: {name: [(value of the setting, score, its standard deviation or None), ...]}; the name is "" of a single line
    path: of the PNG
    """
    numeric = all(isinstance(x, (int, float)) or _is_number(x) for points in lines.values() for x, _, _ in points)
    with picture(path, PAGE_WIDTH / 1.4, 3.2) as figure:
        axes = figure.subplots()
        for number, (name, points) in enumerate(lines.items()):
            points = [(float(x) if numeric else x, y, spread) for x, y, spread in points if y is not None]
            x, y = [point[0] for point in points], [point[1] for point in points]
            spread = [point[2] or 0.0 for point in points] if any(point[2] for point in points) else None
            style = SERIES[number % len(SERIES)]
            axes.errorbar(x, y, yerr=spread, capsize=3, label=name or None, **style)
        if numeric:
            ticks = sorted({float(point[0]) for points in lines.values() for point in points})
            if ticks[0] > 0 and ticks[-1] > 8 * ticks[0]:
                axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
            axes.minorticks_off()
        axes.set(xlabel=SETTINGS.get(setting, setting), ylabel=f"{NAMES.get(measure, measure)}, held out")
        if any(point[2] for points in lines.values() for point in points):
            axes.set_title("mean and standard deviation over seeds")
        if any(lines):
            axes.legend(fontsize=8)


def _is_number(text):
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _few(numbers, most=10):
    """At most so many of the numbers, evenly chosen, to write along an axis."""
    return numbers[:: -(-len(numbers) // most)]


def _short(label, most=18):
    return label if len(label) <= most else label[: most - 1] + "…"
