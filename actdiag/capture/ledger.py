"""Which site a version of a tensor belongs to, and from which site it descends."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import NamedTuple

import torch

from actdiag.capture.sites import Site

FEW = 1000
"""Entries that are not worth looking through."""


class Entry(NamedTuple):
    """What is known of a live tensor.

    Attributes:
        tensor: the tensor.
        version: the one meant.
        site: its nearest site on the way back.
        own: that site is its own.
        joined: since the last product another signal came in, as in a residual sum.
    """

    tensor: weakref.ref[torch.Tensor]
    version: int
    site: Site
    own: bool
    joined: bool


class Ledger:
    """Knows tensors by a live weak reference and their version, never by a bare `id()`, and keeps none.

    An inference tensor has no version; the writes that were seen are counted instead.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._writes: dict[int, int] = {}
        self._full = FEW

    def owner(self, tensor: torch.Tensor) -> Site | None:
        """Return the site of this very version of a tensor, None where it has none."""
        entry = self.find(tensor)
        return None if entry is None else self.owner_of(entry, tensor)

    def owner_of(self, entry: Entry, tensor: torch.Tensor) -> Site | None:
        """Return the same where the tensor's entry is at hand."""
        return entry.site if entry.own and entry.version == self._version(tensor) else None

    def source(self, tensor: torch.Tensor) -> Site | None:
        """Return the nearest site on the way to a tensor: its own, or that of what it was made from."""
        entry = self.find(tensor)
        return None if entry is None else entry.site

    def find(self, tensor: torch.Tensor) -> Entry | None:
        """Return what is known of a tensor."""
        entry = self._entries.get(id(tensor))
        return entry if entry is not None and entry.tensor() is tensor else None

    def claim(self, tensor: torch.Tensor, site: Site) -> None:
        """Give this version of a tensor to a site."""
        self._note(tensor, site, True, site.joined)

    def descend(self, tensor: torch.Tensor, parents: Iterable[torch.Tensor]) -> None:
        """Note where a tensor without a site comes from: the parent furthest along the signal's way."""
        if self.owner(tensor) is not None:
            return
        entries = [entry for parent in parents if (entry := self.find(parent)) is not None]
        if entries:
            furthest = max(entries, key=lambda entry: entry.site.rank)
            several = len({entry.site.product for entry in entries}) > 1
            self._note(tensor, furthest.site, False, several or furthest.joined)

    def come_from(self, tensor: torch.Tensor, site: Site) -> None:
        """Note that a tensor without a site of its own comes from one that is not recorded."""
        self._note(tensor, site, False, site.joined)

    def wrote(self, tensor: torch.Tensor) -> None:
        """Count a write into a tensor that has no version of its own, and into its views."""
        if tensor.is_inference() and tensor.layout == torch.strided:
            storage = tensor.untyped_storage().data_ptr()
            self._writes[storage] = self._writes.get(storage, 0) + 1

    def views_of(self, base: torch.Tensor) -> list[Site]:
        """Return the sites of the live tensors that are views of `base`."""
        own = [entry for entry in self._entries.values() if entry.own]
        live = [(entry.site, _live(entry)) for entry in own]
        return [site for site, view in live if view is not None and _base(view) is base]

    def prune(self) -> None:
        """Forget tensors that no longer live, once there may be many of them."""
        if len(self._entries) < self._full:
            return
        self._entries = {key: entry for key, entry in self._entries.items() if _live(entry) is not None}
        self._full = 2 * len(self._entries) + FEW

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._writes.clear()

    def _note(self, tensor: torch.Tensor, site: Site, own: bool, joined: bool) -> None:
        self._entries[id(tensor)] = Entry(weakref.ref(tensor), self._version(tensor), site, own, joined)

    def _version(self, tensor: torch.Tensor) -> int:
        if not tensor.is_inference():
            return tensor._version
        strided = tensor.layout == torch.strided
        return self._writes.get(tensor.untyped_storage().data_ptr(), 0) if strided else 0


def _live(entry: Entry) -> torch.Tensor | None:
    tensor = entry.tensor()
    if tensor is not None:
        tensor._fix_weakref()  # type: ignore[attr-defined]  # it may have been alive in C++ only
    return tensor


def _base(tensor: torch.Tensor) -> torch.Tensor | None:
    return None if tensor.is_inference() else tensor._base
