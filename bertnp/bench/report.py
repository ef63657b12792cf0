"""The results as text."""

from bertnp.bench.cuda import AGREEMENT


def machine_lines(record):
    machine, peak = record["machine"], record.get("matrix_peak")
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; {machine['system']}; "
        f"Python {machine['python']}",
    ]
    if peak:
        library = record["blas"]
        lines.append(f"float32 matrix products: {peak / 1e9:.0f} GFLOP/s ({library['library']}, "
                     f"{library['kernels']} kernels)")  # fmt: skip
    if machine.get("load_before") and machine["load_before"] > 0.5:
        lines.append(f"The machine was busy (load {machine['load_before']:.1f}): times and ratios may be off.")
    return lines


def case_lines(case):
    """One case as lines: a title, then one line a side."""
    lines = [case["title"] + (f" [text: {case['text']}]" if case.get("text") else "")]
    for side, found in case["sides"].items():
        if "missing" in found:
            lines.append(f"  {found['name']:34} {found['missing']}")
            continue
        parts = [f"{duration(found['seconds']):>9}"]
        if side == "bertnp":
            parts.append(" " * 21)
        else:
            low, high = found["ratio_range"]
            parts.append(f"x {found['ratio']:5.2f} ({low:.2f}-{high:.2f})".ljust(21))
        if "tokens_per_second" in found:
            parts.append(f"{found['tokens_per_second']:>9,.0f} tokens/s")
        if "share" in found:
            parts.append(f"{100 * found['share']:4.0f} % of peak")
        if "bytes_per_second" in found:
            parts.append(f"{found['bytes_per_second'] / 1e6:6.2f} MB/s")
        if found.get("peak_bytes"):
            parts.append(f"{found['peak_bytes'] / 1e9:5.2f} GB")
        if side in case["goals"]:
            goal = case["goals"][side]
            parts.append(f"goal {goal:g}: {verdict(found['ratio'] >= goal)}")
        if found.get("difference", 0) > AGREEMENT[case.get("precision", "fp32")]:
            parts.append(f"RESULTS DIFFER by {found['difference']:.1g}")
        lines.append(f"  {found['name']:34}" + "  ".join(parts))
    return lines


def duration(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def memory_and_share_lines(case):
    """How peak memory and the share of the matrix peak stand to their goals, where there are any."""
    ours, theirs = case["sides"]["bertnp"], case["sides"].get("torch", {})
    lines = []
    if case.get("memory_goal") and theirs.get("memory_ratio"):
        ratio, goal = theirs["memory_ratio"], case["memory_goal"]
        lines.append(f"  peak memory, bertnp / PyTorch: {ratio:.2f}, goal {goal:g}: {verdict(ratio <= goal)}")
    if case.get("share_goal"):
        share, goal = ours["share"], case["share_goal"]
        lines.append(f"  share of the peak: {100 * share:.0f} %, goal {100 * goal:g} %: {verdict(share >= goal)}")
    return lines


def verdict(reached):
    return "reached" if reached else "missed"


def cold_start_lines(found):
    lines = ["Cold start: installed, imported, from the start of the process to the first prediction"]
    ours = found["bertnp"]
    for side, entry in found.items():
        line = f"  {entry['name']:34}{entry['installed_bytes'] / 1e6:8,.0f} MB  {duration(entry['import']):>9}  "
        line += f"{duration(entry['first_prediction']):>9}"
        if side != "bertnp":
            line += f"  x {entry['first_prediction'] / ours['first_prediction']:.2f}"
        lines.append(line)
    return lines


def breakdown_lines(found, most=14):
    lines = [f"One training step: {duration(found['seconds'])}"]
    for name, seconds, calls in found["formulas"][:most]:
        share = 100 * seconds / found["seconds"]
        lines.append(f"  {name:34}{duration(seconds):>10}  {share:5.1f} %  {calls:6,.0f} calls")
    rest = found["formulas"][most:]
    if rest:
        seconds = sum(seconds for _, seconds, _ in rest)
        lines.append(f"  {f'{len(rest)} more':34}{duration(seconds):>10}  {100 * seconds / found['seconds']:5.1f} %")
    return lines


def growth_lines(found):
    start = ", ".join(f"{letter} = {value}" for letter, value in found["start"].items())
    lines = [f"Forward and backward, growing from {start}: slope in log-log coordinates, and between neighbours"]
    for letter, of in found["letters"].items():
        steps = ", ".join(f"{slope:.2f}" for slope in of["slopes"])
        values = " ".join(map(str, of["values"]))
        lines.append(f"  {letter}  {of['slope']:5.2f}   {values:24}  {steps}")
    return lines
