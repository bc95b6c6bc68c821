"""A machine of tools/soak: the process, what it said, and whether it came through."""

import os
import pathlib
import re
import signal
import subprocess
import time

# What the sanitizers and the C++ runtime print when something is wrong.
REPORTS = re.compile(r"AddressSanitizer|ThreadSanitizer|LeakSanitizer|runtime error:|terminate called|"
                     r"Assertion|check failed", re.IGNORECASE)
# A machine that nobody may end but the user is stopped. One whose host refuses calls may also say that it cannot
# start or go on.
STOPPED = 10
REFUSED = {2, 4}
PATIENCE = 30  # seconds for what takes one, on a busy host with a sanitizer


class Fault(Exception):
    """What a machine did that it must not do."""


class Machine:
    """`vireo run` with a guest that never ends. Ends at the end of the `with`, whatever happens; check() first. With
    an environment that makes the host refuse calls, refusing=True: only then may it end by itself."""

    def __init__(self, build, scratch, guest, append, *options, environment=None, refusing=False):
        self.scratch = pathlib.Path(scratch)
        self.refusing = refusing
        self._log = open(self.scratch / "log", "w+", encoding="utf-8", errors="replace")
        arguments = [build / "tools/vireo", "run", "--kernel", build / "guest-tests/guests" / guest,
                     "--append", append, "--memory", "64M", "--debug-exit", *options]
        self.command = " ".join(map(str, arguments))
        sanitizers = {"ASAN_OPTIONS": "halt_on_error=1:verify_asan_link_order=0:allocator_may_return_null=1",
                      "TSAN_OPTIONS": "halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
        self.process = subprocess.Popen(arguments, cwd=scratch, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self._log, env={**os.environ, **sanitizers, **(environment or {})})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def alive(self):
        return self.process.poll() is None

    def said(self):
        self._log.flush()
        return (self.scratch / "log").read_text(encoding="utf-8", errors="replace")

    def wait_for(self, condition, what):
        """Until it holds. False: a machine that may end has ended, which check() then judges."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if not self.alive():
                if self.refusing:
                    return False
                raise Fault(f"{what}: it ended with {self.process.returncode} before:\n" + self.said()[-6000:])
            if time.monotonic() > end:
                raise Fault(f"{what}: not within {PATIENCE} s")
            time.sleep(0.02)
        return True

    def wait_for_file(self, name):
        return self.wait_for((self.scratch / name).exists, f"the machine makes {name}")

    def run_until(self, end):
        """Fails when the machine ends before that."""
        self.wait_for(lambda: time.monotonic() > end, "the time is over")

    def stop(self):
        """As a user does: the power button, and then at once."""
        for _ in range(2):
            if self.alive():
                self.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Fault(f"it does not end: two SIGTERM, {PATIENCE} s") from None

    def check(self):
        """Ends it; raises Fault with what it did wrong."""
        hung = None
        try:
            self.stop()
        except Fault as fault:
            hung = fault
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(PATIENCE)
        text, status = self.said(), self.process.returncode
        if REPORTS.search(text):
            raise Fault("it reports:\n" + text[-6000:])
        if hung:
            raise hung
        if status != STOPPED and not (self.refusing and status in REFUSED):
            raise Fault(f"it ended with {status}:\n" + text[-6000:])
