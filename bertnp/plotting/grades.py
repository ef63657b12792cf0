"""A picture of a class: how it fared with each exercise."""

from bertnp.plotting.style import PAGE_WIDTH, picture

KINDS = {  # what became of an exercise -> how its part of the bar looks; in grey, from dark to light
    "right": {"color": "#08306B"},
    "partly": {"color": "#4F94C4"},
    "wrong": {"color": "#C6DBEF"},
    "stopped or refused": {"color": "#FFFFFF", "hatch": "xxxx"},
    "nothing handed in": {"color": "#FFFFFF"},
}
WHITE_TEXT = ("right",)


def exercise_results(results, path):
    """Draw a bar for each exercise, cut by what became of it, with the share of the points that the class has got.

    results: {exercise: ({kind: students}, share of the points from 0 to 1)}, kinds as in KINDS   path: of the PNG
    """
    students = max((sum(counts.values()) for counts, _ in results.values()), default=0)
    with picture(path, PAGE_WIDTH, 1.2 + 0.27 * len(results)) as figure:
        axes = figure.subplots()
        for row, (counts, share) in enumerate(results.values()):
            left = 0
            for kind, look in KINDS.items():
                count = counts.get(kind, 0)
                if count:
                    axes.barh(row, count, left=left, height=0.72, edgecolor="#333333", linewidth=0.7, **look)
                    color = "white" if kind in WHITE_TEXT else "black"
                    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if "hatch" in look else None
                    axes.text(left + count / 2, row, str(count), ha="center", va="center", fontsize=7.5, color=color,
                              bbox=box)  # fmt: skip
                left += count
            axes.text(students * 1.015, row, f"{share:.0%}", va="center", fontsize=8)
        axes.set_yticks(range(len(results)), list(results), fontsize=8)
        axes.set(xlim=(0, students or 1), xlabel="students  (at the right: share of the points)")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.invert_yaxis()
        axes.grid(False)
        handles = [axes.barh(0, 0, edgecolor="#333333", linewidth=0.7, label=kind, **KINDS[kind]) for kind in KINDS]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(KINDS), fontsize=7.5, handlelength=1.5,
                      columnspacing=1.2)  # fmt: skip
