"""What a measured process does, whichever side it is on: take a request, work against the clock, answer.

Uses Python's standard library only, so that it weighs nothing.
"""

import gc
import json
import os
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None


def serve(prepare):
    """Read a request (JSON, from standard input), measure it, and write the answer to the file it names.

    prepare(request) gives a function to be timed and a dictionary of further facts to answer with; what is called
    "after" there is a function that gives more of them when all is done.
    """
    request = json.load(sys.stdin)
    run, facts = prepare(request)
    after = facts.pop("after", dict)
    answer = {**facts}
    if run is not None:
        answer["seconds"] = timed(run, request["warm_up"], request["least"], request["time"])
    answer |= {"peak_bytes": peak_memory(), **after()}
    with open(request["answer"], "w", encoding="utf-8") as file:
        json.dump(answer, file)


def timed(run, warm_up, least, enough):
    """Seconds of each run, after `warm_up` that don't count: `least` runs, and more until `enough` seconds are over."""
    for _ in range(warm_up):
        run()
    gc.collect()
    seconds = []
    while len(seconds) < least or sum(seconds) < enough:
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return seconds


def peak_memory():
    """The most memory this process has held at a time, in bytes; None where the system doesn't tell."""
    try:  # unlike getrusage's, this number forgets the process that this one was started from
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    if resource is not None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return windows_peak_memory() if os.name == "nt" else None


def windows_peak_memory():
    """PeakWorkingSetSize, as Windows counts it."""
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = [("cb", wintypes.DWORD), ("PageFaultCount", wintypes.DWORD)]
        _fields_ += [(name, ctypes.c_size_t) for name in ("PeakWorkingSetSize", "WorkingSetSize", *"abcdef")]

    counters = Counters(cb=ctypes.sizeof(Counters))
    process = ctypes.windll.kernel32.GetCurrentProcess
    process.restype = wintypes.HANDLE
    ask = ctypes.windll.psapi.GetProcessMemoryInfo
    ask.argtypes = [wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD]
    return counters.PeakWorkingSetSize if ask(process(), ctypes.byref(counters), counters.cb) else None
