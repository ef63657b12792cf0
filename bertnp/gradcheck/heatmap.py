"""A gradient as a picture: yours, the expected one, and where they differ."""

from pathlib import Path

import numpy as np

MOST_TENSORS = 4  # lines of pictures, where nobody asked for more
MOST_COLUMNS = 48  # longer vectors are folded
COLOURS = "cividis"  # from dark blue to yellow, ever lighter: signs stay apart in grey


def draw_heatmap(report, path, tensors=None):
    """See `Report.heatmap`."""
    from bertnp.plotting.style import PAGE_WIDTH, picture

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path: expected a file name ending in .png, got {path.name!r}")
    rows = _chosen_rows(report, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with picture(path, PAGE_WIDTH, 0.5 + 1.75 * len(rows)) as figure:
        figure.suptitle(f"{report.title}: gradients, and the slopes they should be", fontsize=10)
        panels = figure.subplots(len(rows), 3, squeeze=False)
        for row, (left, middle, right) in zip(rows, panels, strict=True):
            _draw_row(figure, row, left, middle, right)
        for axes in panels[-1]:
            axes.set_xlabel("last axis", fontsize=8)
        if any(np.isnan(row.expected).any() for row in rows):
            figure.supxlabel("×: an element whose slope was not taken", fontsize=8)
    return path


def _chosen_rows(report, tensors):
    rows = [row for row in report.rows if row.checked and row.size]
    if tensors is not None:
        names = [tensors] if isinstance(tensors, str) else list(tensors)
        for name in names:
            if name not in [row.name for row in rows]:
                raise ValueError(f"tensors: the report has no slopes of {name!r}; it has {_names(rows)}")
        return [row for row in rows if row.name in names]
    if not rows:
        raise ValueError(f"there is nothing to draw: the check of {report.title} ended before any slope was taken")
    worst_first = sorted(
        rows, key=lambda row: (("WRONG", "ok", "zero").index(row.verdict), -row.error / (row.allowed or 1.0))
    )
    return worst_first[:MOST_TENSORS]


def _names(rows):
    return ", ".join(dict.fromkeys(row.name for row in rows))


def _draw_row(figure, row, left, middle, right):
    yours, expected = flat(row.yours), flat(row.expected)
    limit = max(np.abs(row.yours).max(), np.nanmax(np.abs(row.expected))) or 1.0
    for axes, values, title in ((left, yours, "yours"), (middle, expected, "expected")):
        image = _image(axes, values, title, COLOURS, -limit, limit)
    figure.colorbar(image, ax=[left, middle], shrink=0.85, pad=0.02).ax.tick_params(labelsize=7)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.log10(np.abs(yours - expected) / (row.allowed or 1.0))
    share = np.where(np.isnan(yours - expected), np.nan, np.clip(share, -4.0, 8.0))
    image = _image(
        right,
        share,
        f"difference: {'both zero to rounding' if row.verdict == 'zero' else row.verdict}",
        "Greys",
        -4.0,
        8.0,
    )
    bar = figure.colorbar(image, ax=right, shrink=0.85, pad=0.02, ticks=[-4, 0, 4, 8])
    bar.ax.set_yticklabels(["≤ 1e-4", "allowed", "1e4 ×", "≥ 1e8 ×"], fontsize=7)
    case = f"\n{row.case}" if row.case else ""
    short = row.name if len(row.name) <= 26 else "…" + row.name[-25:]
    left.set_ylabel(f"{short}{case}\n{'×'.join(map(str, row.shape))}", fontsize=8)


def _image(axes, values, title, colours, low, high):
    axes.grid(False)
    axes.spines[:].set_visible(True)
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    missing = np.argwhere(np.isnan(values))
    axes.plot(missing[:, 1], missing[:, 0], linestyle="none", marker="x", markersize=2.0, color="#555555", mew=0.5)
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def flat(array):
    """Any array as a table: the last axis across, all others down; a vector is folded where it is long."""
    if array.ndim == 0:
        return array.reshape(1, 1)
    if array.ndim > 1:
        return array.reshape(-1, array.shape[-1])
    columns = min(len(array), MOST_COLUMNS)
    filler = np.full(-len(array) % columns, np.nan)
    return np.concatenate([array, filler]).reshape(-1, columns)
