"""`edgessd doctor`: describe this machine and list what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgessd.cli.console import JsonFlag, print_json

if TYPE_CHECKING:
    from edgessd.target.detect import Machine
    from edgessd.target.findings import Check


def command(as_json: JsonFlag = False) -> None:
    """Describe this machine, and list what is missing and how to install it.

    Example: edgessd doctor
    """
    from dataclasses import asdict

    from edgessd.target.detect import detect_machine
    from edgessd.target.doctor import examine

    machine = detect_machine()
    checks = examine(machine, backend_checks(machine))
    if as_json:
        missing = [check.name for check in checks if check.state == "missing"]
        print_json(
            {
                "machine": asdict(machine),
                "checks": [asdict(check) for check in checks],
                "missing": missing,
            }
        )
        return
    print_findings(machine, checks)


def backend_checks(machine: Machine) -> list[Check]:
    """Load the library of each backend; those of this machine's target are needed."""
    from edgessd.runtime.catalog import BACKENDS
    from edgessd.target.load import load_target

    needed = load_target(machine.target).backends
    return [backend_check(name, needed=name in needed) for name in BACKENDS]


def backend_check(name: str, *, needed: bool) -> Check:
    """Load a backend's library and report its version."""
    from edgessd.core.errors import BackendError
    from edgessd.runtime.catalog import backend_entry
    from edgessd.target.findings import Check

    entry = backend_entry(name)
    try:
        version = entry.load().library_version()
    except BackendError as error:
        return Check(
            name=f"Backend {name}",
            state="missing" if needed else "note",
            found=error.found or error.problem,
            fix=(error.fix or "").removeprefix("Install it: "),
        )
    runs = " and ".join(f".{form}" for form in entry.formats)
    return Check(name=f"Backend {name}", state="ok", found=f"{version}, runs {runs}")


def print_findings(machine: Machine, checks: tuple[Check, ...]) -> None:
    """Print the machine in a paragraph, then one row a finding."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    model = machine.model or "A computer"
    console.print(f"[bold]{model}[/bold], {machine.system}, {machine.arch}")
    flags = f" ({', '.join(machine.int8_flags)})" if machine.int8_flags else ""
    memory = machine.memory_bytes / 2**30
    console.print(f"{machine.cores} x {machine.cpu}{flags}, {memory:.1f} GiB memory")
    console.print(f"Target: [bold]{machine.target}[/bold]\n")
    marks = {"ok": ("ok", "green"), "missing": ("missing", "bold red"), "note": ("–", "dim")}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column()
    for check in checks:
        text = Text(check.found)
        if check.fix:
            text.append(f"\n→ {check.fix}", "cyan")
        table.add_row(Text(*marks[check.state]), check.name, text)
    console.print(table)
    missing = sum(check.state == "missing" for check in checks)
    console.print(f"\n{missing} missing" if missing else "\nNothing is missing")
