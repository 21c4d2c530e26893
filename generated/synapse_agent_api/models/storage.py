# By `make generate`. Don't edit.

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.store import Store


@_attrs_define
class Storage(OpenObject["Any"]):
    """An agent's use of its disk.

    Attributes:
        data_dir (str): The data folder, on the agent's machine.
        disk_total (int): The size of the disk with the data folder, in bytes.
        disk_free (int): Its free bytes.
    """

    data_dir: str
    collected_at: datetime.datetime
    disk_total: int
    disk_free: int
    stores: list[Store]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        data_dir = self.data_dir

        collected_at = self.collected_at.isoformat()

        disk_total = self.disk_total

        disk_free = self.disk_free

        stores = []
        for stores_item_data in self.stores:
            stores_item = stores_item_data.to_dict()
            stores.append(stores_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "data_dir": data_dir,
                "collected_at": collected_at,
                "disk_total": disk_total,
                "disk_free": disk_free,
                "stores": stores,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.store import Store  # noqa: PLC0415

        d = dict(src_dict)
        data_dir = d.pop("data_dir")

        collected_at = datetime.datetime.fromisoformat(d.pop("collected_at"))

        disk_total = d.pop("disk_total")

        disk_free = d.pop("disk_free")

        stores = []
        _stores = d.pop("stores")
        for stores_item_data in _stores:
            stores_item = Store.from_dict(stores_item_data)

            stores.append(stores_item)

        storage = cls(
            data_dir=data_dir,
            collected_at=collected_at,
            disk_total=disk_total,
            disk_free=disk_free,
            stores=stores,
        )

        storage.additional_properties = d
        return storage
