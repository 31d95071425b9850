"""Merge, average and print the rows of the comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, str]

_MEASURED = ("agreement_AP", "AP", "seconds", "cpu_seconds", "peak_mb")
_DIGITS = {"seconds": 1, "cpu_seconds": 1, "peak_mb": 0}
_SCHEMES = ("affine", "symmetric")


def key(row: Mapping[str, Any]) -> Key:
    """Return the key of a row: peer, method, draw."""
    return row["peer"], row["method"], row["draw"]


def merge(rows: Iterable[Row], new: Row) -> list[Row]:
    """Return `rows` with `new` in place of the row with the same key, or at the end."""
    merged = {key(row): row for row in rows}
    merged[key(new)] = new
    return list(merged.values())


def means(rows: Sequence[Row]) -> list[Row]:
    """Average over the successful draws of each peer and method; sort by scheme, best first.

    If draws failed, `failed` has their number and the reason of the last.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["peer"], row["method"]), []).append(row)
    averaged = [_mean(group) for group in groups.values()]
    return sorted(averaged, key=_place)


def best(averaged: Sequence[Row], measure: str = "agreement_AP") -> dict[str, Row]:
    """Return for each scheme the row with the highest `measure` among those without a failed draw."""
    draws = _most_draws(averaged)
    whole = [
        row for row in averaged if measure in row and "failed" not in row and row["draws"] == draws
    ]
    return {
        scheme: max(same, key=lambda row: row[measure])
        for scheme in _SCHEMES
        if (same := [row for row in whole if row["scheme"] == scheme])
    }


def table(averaged: Sequence[Row]) -> str:
    """Return Markdown tables, one per scheme, with the best of each in bold."""
    lines = [
        "| scheme | quantizer | method | runs in | agreement AP | AP | seconds | peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    winners = {measure: best(averaged, measure) for measure in ("agreement_AP", "AP")}
    draws = _most_draws(averaged)
    for row in averaged:
        cells = ["–"] * 4
        if "agreement_AP" in row:
            cells = [
                _accuracy(row, measure, winners[measure].get(row["scheme"])) for measure in winners
            ]
            cells += [f"{row['seconds']:.0f}", f"{row['peak_mb'] / 1000:.1f} GB"]
        method = row["method"]
        if "failed" in row:
            method += f" (failed: {row['failed']})"
        elif row["draws"] < draws:
            method += f" ({row['draws']} of {draws} draws)"
        words = [row["scheme"], row["peer"], method, row["runs_in"], *cells]
        lines.append(f"| {' | '.join(words)} |")
    return "\n".join(lines)


def _most_draws(averaged: Sequence[Row]) -> int:
    return max((row["draws"] for row in averaged), default=0)


def _accuracy(row: Row, measure: str, winner: Row | None) -> str:
    if measure not in row:
        return ""
    return f"**{row[measure]:.4f}**" if winner is row else f"{row[measure]:.4f}"


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
