"""What the sections share: run a program, take its time and its peak memory."""
import os
import statistics
import subprocess
import threading
import time

MARTLET = os.environ["MARTLET_BINARY"]
URI = os.environ["MARTLET_BENCH_URI"]


def watch(pid, peak):
    """Notes a process's own peak memory until it ends. Not ru_maxrss: that begins with this Python's."""
    try:
        while True:
            with open(f"/proc/{pid}/status") as status:
                for line in status:
                    if line.startswith("VmHWM"):
                        peak[0] = int(line.split()[1]) * 1024
            time.sleep(0.01)
    except OSError:
        pass


def run(command, expected=0, **options):
    """Runs a command; (seconds, peak bytes of the process itself, stdout). None expects any exit code."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    out, err = process.stdout.read(), process.stderr.read()
    code = process.wait()
    seconds = time.monotonic() - started
    watcher.join(1)
    if expected is not None and code != expected:
        raise SystemExit(f"{command}: exit {code}\n{err.decode()[-2000:]}")
    return seconds, peak[0], out


def median(count, action):
    return statistics.median(action() for _ in range(count))


def row(name, value, goal, met):
    print(f"{name:<58} {value:>16}   goal {goal:<12} {'met' if met else 'MISSED'}")


def note(text):
    print(f"  {text}")
