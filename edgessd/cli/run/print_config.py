"""`edgessd run --print-config`: the options of a run as a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path

from edgessd.cli.console import people
from edgessd.pipeline.options.file import write_options
from edgessd.pipeline.options.run import RunOptions, absolute
from edgessd.pipeline.options.secrets import hide_secrets


def print_options(options: RunOptions) -> None:
    """Print options on stdout, with absolute paths and without secrets.

    The environment variables that must hold the secrets are named on stderr.
    """
    hidden, secrets = hide_secrets(absolute(options, Path.cwd()))
    sys.stdout.write(write_options(hidden))
    if secrets:
        people().print(
            "Secrets aren't printed. Set these environment variables before you use the file: "
            + ", ".join(secrets),
            soft_wrap=True,
        )
