"""`Check`: one finding of `edgessd doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "note"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        state: `ok`; `missing` if something that this machine's role needs isn't there; `note` for
            anything that is merely good to know.
        found: What there is.
        fix: The command that mends it, "" where nothing is to mend.
    """

    name: str
    state: State
    found: str
    fix: str = ""
