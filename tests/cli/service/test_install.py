"""The service under a real systemd: installed, watched, restarted, stopped and removed.

systemd boots as the first process of a container whose files are this machine's, seen through an overlay
that is thrown away afterwards. Needs root and Debian's package systemd-container.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgessd.runtime.starter import starter_bundle

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


class Container:
    """A machine run by systemd."""

    def __init__(self, root: Path, log: Path) -> None:
        words = ["systemd-nspawn", "--register=no", "--keep-unit", f"--directory={root}", "--boot"]
        words += ["--console=pipe", "systemd.unit=multi-user.target"]
        # Hosts with the older cgroups need to be told; the others ignore it.
        hybrid = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0"}
        unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **({} if unified else hybrid)},
        )
        self._log = log
        try:
            self._leader = self._wait_for_leader()
            self.until(lambda: self.run("systemctl", "show", "-p", "Version").returncode == 0)
        except BaseException:
            self.close()
            raise

    def _wait_for_leader(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
            time.sleep(0.1)
        pytest.skip(f"systemd doesn't boot in a container here: {self._log.read_text()[-500:]}")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "-t", str(self._leader), "-a", "--wd=/", "--", *words]
        return subprocess.run(
            enter, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
        )

    def edgessd(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = shlex.join([sys.executable, "-m", "edgessd", *words])
        return self.run("sh", "-c", f"mkdir -p /opt/camera && cd /opt/camera && {command}")

    def shown(self, name: str) -> str:
        return self.run("systemctl", "show", "door", "-p", name, "--value").stdout.strip()

    def until(self, true: Callable[[], object], seconds: float = 45) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self.run("journalctl", "-n", "40").stdout
            time.sleep(0.3)

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(30)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    if os.geteuid() != 0 or shutil.which("systemd-nspawn") is None:
        pytest.skip("needs root and Debian's packages systemd and systemd-container")
    if any(Path(path).is_relative_to("/tmp") for path in (ROOT, sys.prefix)):
        pytest.skip("the project or its Python is in /tmp, of which a service has its own")
    folder = tmp_path_factory.mktemp("machine")
    root = folder / "root"
    for name in ("root", "upper", "work"):
        (folder / name).mkdir()
    mount = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work"
    mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", mount, str(root)])
    if mounted.returncode != 0:
        pytest.skip("this kernel or container has no overlay file system")
    container = None
    try:
        (root / "etc/machine-id").unlink(missing_ok=True)
        (root / "etc/machine-id").touch()
        # The service's user isn't root: in the container it may pass through to Python and the project.
        python = Path(sys.executable)
        for path in (*python.parents, *python.resolve().parents, *ROOT.parents):
            inside = root / path.relative_to("/")
            inside.chmod(inside.stat().st_mode | 0o055)
        container = Container(root, folder / "boot.log")
        yield container
    finally:
        if container is not None:
            container.close()
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_service_is_installed_watched_restarted_and_removed(machine: Container) -> None:
    words = ("--source", "pattern:320x240@10", "--jsonl", "log/door.jsonl", "--model")
    made = machine.edgessd(
        "service", "install", "--name", "door", "--watchdog", "5", "--yes",
        *words, str(starter_bundle()),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr

    def frames_flow() -> bool:
        return "FPS" in machine.shown("StatusText") and machine.shown("SubState") == "running"

    # It runs, as a user of its own that may write to its own folder alone, and says how.
    machine.until(frames_flow)
    status = json.loads(machine.edgessd("service", "status", "--name", "door", "--json").stdout)
    assert status["active"] is True
    assert status["restarts"] == 0
    assert "FPS" in status["frames"]
    owner = machine.run("stat", "-c", "%U %a", "/opt/camera/log/door.jsonl").stdout.split()
    assert owner == ["edgessd", "640"]
    assert machine.run("stat", "-c", "%U %a", "/etc/edgessd/door.env").stdout.split() == [
        "root",
        "600",
    ]
    # Its options lie in a file that it may read, and it runs that file.
    config = "/etc/edgessd/door.toml"
    assert machine.run("stat", "-c", "%U %a", config).stdout.split() == ["edgessd", "600"]
    shown = machine.edgessd("service", "show", "--name", "door").stdout
    assert f"run --config {config}" in shown
    assert 'jsonl = "/opt/camera/log/door.jsonl"' in shown
    assert 'address = "pattern:320x240@10"' in shown
    first = machine.shown("MainPID")
    assert machine.run("ps", "-o", "user=", "-p", first).stdout.strip() == "edgessd"

    # It hangs: the watchdog ends it, and it comes back.
    machine.run("kill", "-STOP", first)
    machine.until(lambda: machine.shown("NRestarts") == "1")
    assert "Watchdog timeout" in machine.run("journalctl", "-u", "door").stdout
    machine.until(frames_flow)
    second = machine.shown("MainPID")
    assert second != first

    # It is killed: it comes back.
    machine.run("kill", "-KILL", second)
    machine.until(lambda: machine.shown("NRestarts") == "2" and frames_flow())

    # It is stopped: it drains and ends well.
    machine.run("systemctl", "stop", "door")
    assert machine.shown("Result") == "success"
    assert machine.shown("ExecMainStatus") == "0"
    lines = machine.run("cat", "/opt/camera/log/door.jsonl").stdout.splitlines()
    assert [json.loads(line)["frame"] for line in lines]
    assert "frames at" in machine.run("journalctl", "-u", "door", "-n", "10").stdout

    gone = machine.edgessd("service", "uninstall", "--name", "door", "--yes")
    assert gone.returncode == 0, gone.stderr
    left = machine.run("ls", "/etc/systemd/system/door.service", "/etc/edgessd/door.env", config)
    assert left.stdout == ""
    assert machine.run("test", "-f", "/opt/camera/log/door.jsonl").returncode == 0


def test_a_path_that_the_user_cannot_reach_is_refused_before_anything_is_written(
    machine: Container,
) -> None:
    machine.run("mkdir", "-p", "/opt/camera/closed")
    machine.run("chmod", "700", "/opt/camera/closed")
    refused = machine.edgessd(
        "service", "install", "--name", "shut", "--source", "pattern:", "--record",
        "closed/a.mp4", "--yes",
    )  # fmt: skip
    assert refused.returncode == 1
    message = " ".join(refused.stderr.split())
    assert "may not write to /opt/camera/closed" in message
    assert "chown edgessd /opt/camera/closed" in message
    assert machine.run("test", "-e", "/etc/systemd/system/shut.service").returncode == 1


def test_a_unit_with_a_command_line_runs_until_it_is_installed_again(machine: Container) -> None:
    """Units of earlier versions have the options of `edgessd run` in them, and no options file."""
    new = machine.edgessd(
        "service", "install", "--name", "door", "--source", "pattern:320x240@10", "--dry-run"
    ).stdout
    old = re.sub(r"(?s)^.*?\n(.*?)\n# /etc/edgessd/.*", r"\1", new).replace(
        "--config /etc/edgessd/door.toml", "--source ${EDGESSD_SECRET_1}"
    )
    write = "cat > /etc/systemd/system/door.service; mkdir -p -m 700 /etc/edgessd; "
    write += "echo EDGESSD_SECRET_1=pattern:320x240@10 > /etc/edgessd/door.env; "
    write += "id edgessd || useradd --system edgessd; systemctl daemon-reload; systemctl start door"
    machine.run("sh", "-c", f"({write}) <<'END'\n{old}\nEND")
    machine.until(lambda: "FPS" in machine.shown("StatusText"))
    shown = machine.edgessd("service", "show", "--name", "door").stdout
    assert "--source ${EDGESSD_SECRET_1}" in shown
    assert "[[source]]" not in shown

    made = machine.edgessd(
        "service", "install", "--name", "door", "--source", "pattern:160x120@10", "--yes"
    )
    assert made.returncode == 0, made.stderr
    machine.until(lambda: "FPS" in machine.shown("StatusText"))
    assert "160x120" in machine.edgessd("service", "show", "--name", "door").stdout
    assert "EDGESSD_SECRET_1" not in machine.run("cat", "/etc/edgessd/door.env").stdout
    gone = machine.edgessd("service", "uninstall", "--name", "door", "--yes")
    assert gone.returncode == 0, gone.stderr


@pytest.mark.parametrize("path", ["/etc/systemd/system/mine.service", "/etc/edgessd/mine.toml"])
def test_a_foreign_file_is_not_overwritten(machine: Container, path: str) -> None:
    machine.run("sh", "-c", f"mkdir -p /etc/edgessd; echo mine > {path}")
    refused = machine.edgessd(
        "service", "install", "--name", "mine", "--source", "pattern:", "--yes"
    )
    assert refused.returncode == 1
    assert f"{path} exists and wasn't written by" in " ".join(refused.stderr.split())
    assert machine.run("cat", path).stdout == "mine\n"
    machine.run("rm", path)
