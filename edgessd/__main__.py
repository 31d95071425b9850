"""`python -m edgessd`: the same as the `edgessd` command; `torchrun -m edgessd train ...` needs it."""

from __future__ import annotations

from edgessd.cli.app import main

if __name__ == "__main__":
    main()
