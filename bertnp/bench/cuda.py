"""What is measured on a GPU: BERT-base in training and in use, in three precisions, beside PyTorch on the same card."""

from bertnp.bench.cases import BASE, TORCH, Case

PRECISIONS = {"fp32": "float32", "tf32": "TF32", "bf16": "bfloat16"}  # in short -> as titles call them
AGREEMENT = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}  # largest difference between two sides' results, relative
SIZES = (("pretraining", 8, 128), ("pretraining", 32, 128), ("pretraining", 32, 512),
         ("inference", 1, 128), ("inference", 32, 128))  # fmt: skip


def cuda_cases():
    found = []
    for kind, B, S in SIZES:
        for precision, in_full in PRECISIONS.items():
            what = "training step" if kind == "pretraining" else "inference"
            goals = {TORCH: 1.0} if kind == "pretraining" and B == 32 and precision != "bf16" else {}
            name = f"{what.split()[0]}-{B}x{S}-{precision}"
            title = f"BERT-base {what}, {B} × {S} tokens, {in_full}"
            found.append(Case(name, title, kind, BASE, B, S, sides=(TORCH,), goals=goals, device="cuda",
                              precision=precision))  # fmt: skip
    return tuple(found)


CUDA_CASES = cuda_cases()
CUDA_QUICK = ("training-8x128-fp32", "training-8x128-bf16", "inference-1x128-fp32")


def set_precision(backend, precision):
    """Whether products are TF32, and the type of a model in that precision."""
    if backend.name != "numpy":
        backend.device.tf32 = precision == "tf32"
    return "bfloat16" if precision == "bf16" else "float32"


def describe_gpu():
    """Card, driver and versions."""
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(0)
    runtime, driver = (v() for v in (cupy.cuda.runtime.runtimeGetVersion, cupy.cuda.runtime.driverGetVersion))
    return {
        "card": properties["name"].decode(),
        "memory": properties["totalGlobalMem"],
        "driver": driver_version(),
        "cuda_of_driver": f"{driver // 1000}.{driver % 1000 // 10}",
        "cuda": f"{runtime // 1000}.{runtime % 1000 // 10}",
        "cupy": cupy.__version__,
        "peaks": {precision: products_peak(precision) for precision in PRECISIONS},
    }


def driver_version():
    """As the system tells it, or None."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            return next((word for word in file.readline().split() if word[:1].isdigit() and "." in word), None)
    except OSError:
        return None


def products_peak(precision, repeat=20):
    """The most operations a second that products reach here: the best over a few large shapes."""
    import time

    from bertnp.backend import float_type, get_backend
    from bertnp.backend.cupy_kernels.products import multiply

    backend = get_backend("cuda")
    dtype = float_type(set_precision(backend, precision))
    best = 0.0
    for m, k, n in ((4096, 768, 3072), (16384, 768, 3072), (8192, 8192, 8192)):
        a, b = (backend.xp.ones(shape, dtype=dtype) for shape in ((m, k), (k, n)))
        out = multiply(a, b)
        times = []
        for _ in range(3):
            backend.synchronize()
            began = time.perf_counter()
            for _ in range(repeat):
                multiply(a, b, out)
            backend.synchronize()
            times.append((time.perf_counter() - began) / repeat)
        best = max(best, 2 * m * k * n / min(times))
    backend.device.tf32 = False
    return best


def gpu_lines(gpu):
    peaks = ", ".join(f"{PRECISIONS[name]} {peak / 1e12:.0f}" for name, peak in gpu["peaks"].items())
    return [
        f"{gpu['card']}, {gpu['memory'] / 1e9:.0f} GB; driver {gpu['driver'] or 'unknown'} (CUDA "
        f"{gpu['cuda_of_driver']}), CUDA {gpu['cuda']}, CuPy {gpu['cupy']}",
        f"matrix products, TFLOP/s: {peaks}",
    ]


def table_lines(record):
    """All cases as one table."""
    lines = [f"{'milliseconds':26}{'bertnp':>9}{'PyTorch':>9}{'ratio':>7}{'goal':>6}{'tokens/s':>12}{'of peak':>9}"
             f"{'launches':>15}{'GB':>14}"]  # fmt: skip
    for case in record["cases"]:
        ours, theirs = case["sides"]["bertnp"], case["sides"].get(TORCH, {})
        peak = record["gpu"]["peaks"][case["precision"]]
        launches = " / ".join(f"{side['launches']:,}" if side.get("launches") else "-" for side in (ours, theirs))
        memory = " / ".join(f"{side['peak_bytes'] / 1e9:.2f}" if "seconds" in side else "-" for side in (ours, theirs))
        compared = f"{'-':>9}{'-':>7}"
        if "seconds" in theirs:
            compared = f"{1000 * theirs['seconds']:9.2f}{theirs['ratio']:7.2f}"
        lines.append(
            f"{case['name']:26}{1000 * ours['seconds']:9.2f}{compared}{case['goals'].get(TORCH, '-'):>6}"
            f"{ours['tokens_per_second']:12,.0f}{100 * ours['operations_per_second'] / peak:7.0f} %"
            f"{launches:>15}{memory:>14}"
        )
    return lines
