"""Partition of items by relations between pairs (disjoint-set forest)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class UnionFind(Generic[Item]):
    """Disjoint sets of items, each in a set of its own until `join` unites some.

    Args:
        items: All items, in the order in which `groups` lists them.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self._parent = {item: item for item in items}

    def __contains__(self, item: object) -> bool:
        return item in self._parent

    def find(self, item: Item) -> Item:
        """Return the item that represents the set of `item`; raises KeyError for an unknown item."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, item: Item, other: Item) -> None:
        """Unite the sets of two items; the representative of `other` represents both."""
        self._parent[self.find(item)] = self.find(other)

    def groups(self) -> list[list[Item]]:
        """Return the sets, ordered by their first items; each keeps the order of `items`."""
        members: dict[Item, list[Item]] = {}
        for item in self._parent:
            members.setdefault(self.find(item), []).append(item)
        return list(members.values())
