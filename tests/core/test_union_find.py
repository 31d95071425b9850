"""Disjoint sets: representatives, order of groups, unknown items."""

from __future__ import annotations

import pytest

from edgessd.core.union_find import UnionFind


def test_items_joined_in_a_chain_form_one_group_in_their_own_order() -> None:
    sets = UnionFind("abcdef")
    for item, other in (("e", "c"), ("c", "a"), ("f", "b")):
        sets.join(item, other)
    assert sets.groups() == [["a", "c", "e"], ["b", "f"], ["d"]]
    assert sets.find("e") == "a"


def test_joining_twice_changes_nothing() -> None:
    sets = UnionFind(range(3))
    sets.join(0, 1)
    sets.join(1, 0)
    assert sets.groups() == [[0, 1], [2]]


def test_an_unknown_item_has_no_set() -> None:
    sets = UnionFind([1])
    assert 2 not in sets
    with pytest.raises(KeyError):
        sets.find(2)
