"""`Check`: a finding of `edgessd doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "missing", "note"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Finding of `edgessd doctor`.

    Attributes:
        name: Name of the subject.
        state: `ok`; `missing` if this machine's role needs something that isn't there; `note` for
            information.
        found: Result of the check.
        fix: Command that corrects it; "" if nothing needs correction.
    """

    name: str
    state: State
    found: str
    fix: str = ""
