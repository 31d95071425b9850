"""The rows of the comparison: put together over several runs, averaged, printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, str]

_MEASURED = ("agreement_AP", "AP", "seconds", "cpu_seconds", "peak_mb")
_DIGITS = {"seconds": 1, "cpu_seconds": 1, "peak_mb": 0}
_SCHEMES = ("affine", "symmetric")


def key(row: Mapping[str, Any]) -> Key:
    """What a row is about: peer, method, draw."""
    return row["peer"], row["method"], row["draw"]


def merge(rows: Iterable[Row], new: Row) -> list[Row]:
    """`rows` with `new` in the place of the row about the same, else at the end."""
    merged = {key(row): row for row in rows}
    merged[key(new)] = new
    return list(merged.values())


def means(rows: Sequence[Row]) -> list[Row]:
    """One row per peer and method, over the draws that it managed; schemes apart, best first.

    Where a draw failed, `failed` says how many did and why the last did.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["peer"], row["method"]), []).append(row)
    averaged = [_mean(group) for group in groups.values()]
    return sorted(averaged, key=_place)


def best(averaged: Sequence[Row]) -> dict[str, Row]:
    """Of each scheme, the row with the highest agreement among those that managed every draw."""
    whole = [row for row in averaged if "failed" not in row]
    return {
        scheme: min(same, key=_place)
        for scheme in _SCHEMES
        if (same := [row for row in whole if row["scheme"] == scheme])
    }


def table(averaged: Sequence[Row]) -> str:
    """Markdown, schemes apart; the best agreement of a scheme in bold, whoever's it is."""
    lines = [
        "| scheme | quantizer | method | runs in | agreement AP | AP | seconds | peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    winners = best(averaged)
    for row in averaged:
        if "agreement_AP" in row:
            agreement = f"{row['agreement_AP']:.4f}"
            if winners.get(row["scheme"]) is row:
                agreement = f"**{agreement}**"
            ap = f"{row['AP']:.4f}" if "AP" in row else ""
            cells = [agreement, ap, f"{row['seconds']:.0f}", f"{row['peak_mb'] / 1000:.1f} GB"]
        else:
            cells = ["–", "–", "–", "–"]
        method = row["method"]
        if "failed" in row:
            method += f" (failed: {row['failed']})"
        words = [row["scheme"], row["peer"], method, row["runs_in"], *cells]
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def _mean(group: Sequence[Row]) -> Row:
    managed = [row for row in group if "failed" not in row]
    failed = [row for row in group if "failed" in row]
    first = (managed or failed)[0]
    mean: Row = {name: first[name] for name in ("peer", "method", "scheme", "runs_in")}
    mean["draws"] = len(managed)
    if managed:
        mean["version"] = first["version"]
    for name in _MEASURED:
        if managed and all(name in row for row in managed):
            value = sum(row[name] for row in managed) / len(managed)
            mean[name] = round(value, _DIGITS.get(name, 4))
    if failed:
        mean["failed"] = failed[-1]["failed"]
        if managed:
            mean["failed"] = f"{len(failed)} of {len(group)} draws: {mean['failed']}"
    return mean


def _place(row: Row) -> tuple[int, float]:
    return _SCHEMES.index(row["scheme"]), -row.get("agreement_AP", -1.0)
