# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.non_finite_place import NonFinitePlace


@_attrs_define
class NonFiniteNumbers(OpenObject["Any"]):
    """The places of NaN and infinities, which JSON does not have: they are `null` in the result, event or progress
    with this field. Absent otherwise.

        Attributes:
            count (int): Their number.
            places (list[NonFinitePlace]): The first ones, up to 100 of a result and 20 of an event.
    """

    count: int
    places: list[NonFinitePlace]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        count = self.count

        places = []
        for places_item_data in self.places:
            places_item = places_item_data.to_dict()
            places.append(places_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "count": count,
                "places": places,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.non_finite_place import NonFinitePlace  # noqa: PLC0415

        d = dict(src_dict)
        count = d.pop("count")

        places = []
        _places = d.pop("places")
        for places_item_data in _places:
            places_item = NonFinitePlace.from_dict(places_item_data)

            places.append(places_item)

        non_finite_numbers = cls(
            count=count,
            places=places,
        )

        non_finite_numbers.additional_properties = d
        return non_finite_numbers
