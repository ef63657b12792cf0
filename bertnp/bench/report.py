"""The results as text."""


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


def case_lines(case, peak=None):
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
            if peak:
                parts.append(f"{100 * found['operations_per_second'] / peak:4.0f} % of peak")
        if "bytes_per_second" in found:
            parts.append(f"{found['bytes_per_second'] / 1e6:6.2f} MB/s")
        if found.get("peak_bytes"):
            parts.append(f"{found['peak_bytes'] / 1e9:5.2f} GB")
        if side in case["goals"]:
            reached = found["ratio"] >= case["goals"][side]
            parts.append(f"goal {case['goals'][side]:g}: {'reached' if reached else 'missed'}")
        if found.get("difference", 0) > 1e-3:
            parts.append(f"RESULTS DIFFER by {found['difference']:.1g}")
        lines.append(f"  {found['name']:34}" + "  ".join(parts))
    return lines


def duration(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"
