"""Waiting for a condition with a deadline: the only way these tests let time pass."""
import time

POLL_S = 0.02


def wait_for(what, condition, deadline_s=10):
    """Call condition() until it gives something true and return that; an AssertionError inside counts as not yet."""
    until = time.monotonic() + deadline_s
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = repr(value)
        except AssertionError as error:
            last = str(error)
        if time.monotonic() > until:
            raise AssertionError(f"not within {deadline_s} s: {what}; last seen: {last}")
        time.sleep(POLL_S)


def holds_for(what, condition, seconds):
    """The condition holds at every look during so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert condition(), f"did not hold for {seconds} s: {what}"
        time.sleep(POLL_S)
