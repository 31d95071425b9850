"""The one way in which tests run the `edgessd` command: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
"""Launcher of a training that two processes share."""

SECONDS = 300
"""Longest that a command of its own process may take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The end of a command: exit code, and the text on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)

    @property
    def paragraph(self) -> str:
        """The refusal on stderr, with the console's line breaks undone."""
        return " ".join(self.err[self.err.rindex("edgessd: ") :].split())


def edgessd(
    *words: object,
    code: int | None = 0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    own_process: bool = False,
    launcher: Sequence[str] = (),
) -> Finished:
    """Run `edgessd` with these words to its end.

    Args:
        words: Arguments, written as a shell would pass them.
        code: Expected exit code; None takes any.
        cwd: Working folder; None keeps the current one.
        env: Environment variables to set besides those that are set.
        own_process: Start an interpreter for it. The default, which saves the seconds of importing,
            calls the function that the console script calls.
        launcher: Arguments of the interpreter before `-m edgessd`, such as torchrun's.

    Raises:
        AssertionError: Another exit code, or a traceback.
    """
    if own_process:
        process = start_edgessd(*words, cwd=cwd, env=env, launcher=launcher)
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        finished = Finished(code=process.returncode, out=out, err=err)
    else:
        finished = _run_here([str(word) for word in words], cwd, env or {})
    assert "Traceback" not in finished.err, finished.err
    assert code is None or finished.code == code, (
        f"exit code {finished.code}\n{finished.out}\n{finished.err}"
    )
    return finished


def start_edgessd(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start `edgessd` in a process of its own, with stdout and stderr as pipes."""
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "edgessd", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run_here(words: list[str], cwd: Path | None, env: Mapping[str, str]) -> Finished:
    from edgessd.cli.app import main

    argv, folder, before = sys.argv, Path.cwd(), dict(os.environ)
    sys.argv = ["edgessd", *words]
    os.environ.update({"COLUMNS": "200", **env})
    os.chdir(cwd or folder)
    try:
        with _captured() as texts:
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            else:
                code = 0
    finally:
        sys.argv = argv
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
    return Finished(code=code, out=texts[0], err=texts[1])


@contextmanager
def _captured() -> Iterator[list[str]]:
    """Capture stdout and stderr by their descriptors, so that libraries' own messages are in it too."""
    texts: list[str] = []
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (
            open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - closed below
            for number in (1, 2)
        )
        try:
            yield texts
        finally:
            sys.stdout.close()
            sys.stderr.close()
            sys.stdout, sys.stderr = streams
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
