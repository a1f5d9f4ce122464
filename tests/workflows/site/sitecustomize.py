"""Loaded by every Python of a sandbox: a clock that stands where the test puts it, and faults where it wants them.

SANDBOX_NOW is the moment at which a process begins; from there its clock runs on. SANDBOX_FAULT is
VERB:CALL:NUMBER:KIND, such as ``daily:os.replace:3:kill``: `pipeline daily` is killed at its third os.replace.
A KIND other than kill is an errno's name, which this call and all later ones raise. With SANDBOX_HURRY nothing waits.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import time


def break_call(verb: str, call: str, number: str, kind: str) -> None:
    module_name, name = call.rsplit(".", 1)
    module, counted = importlib.import_module(module_name), [0]
    original = getattr(module, name)

    def broken(*args: object, **options: object) -> object:
        if verb in sys.argv:
            counted[0] += 1
            if counted[0] >= int(number):
                if kind == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
        return original(*args, **options)

    setattr(module, name, broken)


if "SANDBOX_NOW" in os.environ:
    import time_machine

    time_machine.travel(os.environ["SANDBOX_NOW"], tick=True).start()
if "SANDBOX_HURRY" in os.environ:
    time.sleep = lambda seconds: None
if "SANDBOX_FAULT" in os.environ:
    break_call(*os.environ["SANDBOX_FAULT"].split(":"))
