"""Being asked to stop: Ctrl-C, or a system that ends its programs, while a step is running."""

import signal
import threading
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """Training has ended after a whole step because somebody asked; where several processes train, in all of them."""


class StopRequest:
    """Whether somebody has asked to stop."""

    asked = False


@contextmanager
def stop_requests(tell):
    """Inside this block the first Ctrl-C (or SIGTERM) is only noted, in the StopRequest given; a second one interrupts.

    tell: called when the first one comes. Outside the main thread, which alone gets signals, nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number, frame):
        if request.asked:
            raise KeyboardInterrupt
        request.asked = True
        tell()

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):  # else it is not ours to take
                before[number] = signal.signal(number, note)
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
