"""What the sections share: run a program, take its time and its peak memory."""
import os
import statistics
import subprocess
import time

MARTLET = os.environ["MARTLET_BINARY"]
URI = os.environ["MARTLET_BENCH_URI"]


def run(command, expected=0, **options):
    """Runs a command; (seconds, peak bytes of the process itself, stdout)."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    out, err = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    code = os.waitstatus_to_exitcode(status)
    if code != expected:
        raise SystemExit(f"{command}: exit {code}\n{err.decode()[-2000:]}")
    return seconds, usage.ru_maxrss * 1024, out


def median(count, action):
    return statistics.median(action() for _ in range(count))


def row(name, value, goal, met):
    print(f"{name:<58} {value:>16}   goal {goal:<12} {'met' if met else 'MISSED'}")


def note(text):
    print(f"  {text}")
