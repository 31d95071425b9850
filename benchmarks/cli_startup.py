"""Time `edgessd --help` and its steps, and print one line per step.

    python benchmarks/cli_startup.py [--runs 15] [--limit 0.3]

Each step is a whole process. The steps run in turns, so that other load slows all of them alike. The fastest
run of each is reported. With --limit, the exit status is 1 if the help takes longer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

STEPS = {
    "python": ["-c", "pass"],
    "+ typer": ["-c", "import typer"],
    "+ typer's rich help": ["-c", "import typer, typer.rich_utils"],
    "edgessd --version": ["-m", "edgessd", "--version"],
    "edgessd --help": ["-m", "edgessd", "--help"],
    "edgessd build --help": ["-m", "edgessd", "build", "--help"],
}


def seconds_of(arguments: list[str]) -> float:
    """Return the wall time of one process in seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--limit", type=float, help="maximum seconds for `edgessd --help`")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(arguments.runs):
        for name, command in STEPS.items():
            times[name].append(seconds_of(command))
    for name, values in times.items():
        ranked = sorted(values)
        print(f"{name:<22} fastest {ranked[0]:.3f} s   median {ranked[len(ranked) // 2]:.3f} s")
    fastest = min(times["edgessd --help"])
    if arguments.limit is not None and fastest > arguments.limit:
        print(f"edgessd --help takes {fastest:.3f} s, more than {arguments.limit} s")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
