"""The base class of objects with further keys, which are read and set like a dict's."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class OpenObject(Generic[V]):
    """An object of the contract that may have further keys."""

    __slots__ = ()
    additional_properties: dict[str, V]

    @property
    def additional_keys(self) -> list[str]:
        """The further keys."""
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> V:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: V) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
