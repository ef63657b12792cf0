"""Pictures of what `bertnp bench` measured."""

import numpy as np

from bertnp.plotting.style import PAGE_WIDTH, SERIES, picture

LETTERS = {"B": "sequences B", "S": "length S", "L": "layers L", "H": "hidden size H"}
MOST_FORMULAS = 14  # the longest; the rest is one bar


def speed(record, path):
    """Draw the ratios of all cases, where the time of a step goes, and how it grows: what of it is in the record.

    record: the contents of bench.json   path: of the PNG
    """
    parts = []
    bars = [(case, side) for case in record["cases"] for side in case["sides"].values() if "ratio" in side]
    if bars:
        parts.append((lambda axes: ratios(axes, record["cases"]), 0.9 + 0.22 * (len(bars) + len(record["cases"]))))
    if "breakdown" in record:
        parts.append((lambda axes: formulas(axes, record["breakdown"]), 3.2))
    if "growth" in record:
        parts.append((lambda axes: growth(axes, record["growth"]), 3.0))
    if not parts:
        raise ValueError("there is nothing to draw: no case was compared with anything, and no step taken apart")
    with picture(path, PAGE_WIDTH, sum(height for _, height in parts)) as figure:
        rows = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[height for _, height in parts])
        for (draw, _), axes in zip(parts, rows[:, 0], strict=True):
            draw(axes)


def ratios(axes, cases):
    """Bars of how many times bertnp's time the others take."""
    names = {}  # side -> its name, in the order of appearance
    place, places, labels = 0.0, [], []
    longest = max(max([found.get("ratio", 0), *case["goals"].values()])
                  for case in cases for found in case["sides"].values())  # fmt: skip
    for case in cases:
        compared = {side: found for side, found in case["sides"].items() if "ratio" in found}
        if not compared:
            continue
        for side, found in compared.items():
            first = side not in names
            names.setdefault(side, found["name"])
            turn, number = divmod(list(names).index(side), len(SERIES) - 1)
            axes.barh(place, found["ratio"], 0.8, color=SERIES[1 + number]["color"], hatch="////" if turn else None,
                      edgecolor="#ffffff", linewidth=0, label=found["name"] if first else None)  # fmt: skip
            ratio, goal = found["ratio"], case["goals"].get(side)
            beside = goal if goal and ratio <= goal < ratio + 0.1 * longest else ratio  # not on the mark of the goal
            axes.text(beside, place, f" {ratio:.2f}", va="center", fontsize=7)
            if goal:
                axes.plot(2 * [goal], [place - 0.4, place + 0.4], color="#000000", linewidth=1.2)
            place += 1
        places.append(place - (len(compared) + 1) / 2)
        labels.append(case["name"])
        place += 0.8
    axes.axvline(1, color="#888888", linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_title("Time of others / time of bertnp (black: the goal)")
    axes.margins(x=0.1)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=3, ncols=2)


def formulas(axes, breakdown):
    """Bars of the share of each formula in the time of one training step."""
    rows = breakdown["formulas"]
    shown, rest = rows[:MOST_FORMULAS], rows[MOST_FORMULAS:]
    bars = [(name, seconds) for name, seconds, _ in shown]
    if rest:
        bars.append((f"{len(rest)} more", sum(seconds for _, seconds, _ in rest)))
    shares = [100 * seconds / breakdown["seconds"] for _, seconds in bars]
    axes.barh(range(len(bars)), shares, 0.7, color=SERIES[1]["color"])
    axes.set_yticks(range(len(bars)), [name for name, _ in bars], fontsize=7)
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(title=f"Where {breakdown['seconds']:.2f} s of a training step go", xlabel="% of the step")


def growth(axes, found):
    """Time against each size, with both axes logarithmic."""
    for style, (letter, of) in zip(SERIES, found["letters"].items(), strict=False):
        label = f"{LETTERS[letter]}: slope {of['slope']:.2f}"
        start = found["start"][letter]
        axes.plot([value / start for value in of["values"]], of["seconds"], label=label, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    factors = {v / found["start"][letter] for letter, of in found["letters"].items() for v in of["values"]}
    lowest = min(min(of["seconds"]) for of in found["letters"].values())
    highest = max(max(of["seconds"]) for of in found["letters"].values())
    round_times = [m * 10.0**e for e in range(-6, 6) for m in (1, 2, 5)]
    for axis, values in ((axes.xaxis, sorted(factors)), (axes.yaxis, round_times)):
        axis.set_ticks(values, [f"{value:g}" for value in values])
        axis.set_ticks([], minor=True)
    axes.set_ylim(lowest / 1.3, highest * 1.3)
    start = ", ".join(f"{letter} = {value}" for letter, value in found["start"].items())
    axes.set(title="Forward and backward", ylabel="seconds", xlabel=f"times the size at the start: {start}")
    axes.legend(fontsize=7)


def roofline(points, peak, rate, path):
    """Draw how fast steps ran beside how fast they can at most: min(peak, intensity × rate), on logarithmic axes.

    points: {name: (operations a byte, operations a second)}   peak: operations a second   rate: bytes a second
    """
    reached = np.array(list(points.values()))
    ridge = peak / rate
    across = np.array([min(reached[:, 0].min(), ridge) / 3, ridge, max(reached[:, 0].max(), ridge) * 3])
    with picture(path, PAGE_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        axes.plot(across, np.minimum(peak, across * rate) / 1e9, color="#000000", label="the roof")
        axes.axvline(ridge, color="#888888", linewidth=0.8, linestyle=":")
        for style, (name, (intensity, speed)) in zip(SERIES[1:] + SERIES[:1], points.items(), strict=False):
            axes.plot(intensity, speed / 1e9, linestyle="none", color=style["color"], marker=style["marker"],
                      markersize=7, label=name)  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        limits = f"at most {peak / 1e9:.0f} GFLOP/s and {rate / 1e9:.0f} GB/s"
        axes.set_title(f"{limits}: they meet at {ridge:.0f} operations a byte")
        axes.set(xlabel="operations for each byte", ylabel="GFLOP/s")
        axes.legend(fontsize=7.5, loc="center left", bbox_to_anchor=(1, 0.5))
