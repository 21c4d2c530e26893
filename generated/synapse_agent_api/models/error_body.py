# By `make generate`. Don't edit.

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..open_object import OpenObject

if TYPE_CHECKING:
    from ..models.error_detail import ErrorDetail
    from ..models.invalid_item import InvalidItem


@_attrs_define
class ErrorBody(OpenObject["Any"]):
    """Every error answer of an agent.

    Attributes:
        detail (ErrorDetail | list[InvalidItem] | str): The error.
    """

    detail: ErrorDetail | list[InvalidItem] | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.error_detail import ErrorDetail  # noqa: PLC0415

        detail: dict[str, Any] | list[dict[str, Any]] | str
        if isinstance(self.detail, list):
            detail = []
            for componentsschemas_invalid_items_item_data in self.detail:
                componentsschemas_invalid_items_item = componentsschemas_invalid_items_item_data.to_dict()
                detail.append(componentsschemas_invalid_items_item)

        elif isinstance(self.detail, ErrorDetail):
            detail = self.detail.to_dict()
        else:
            detail = self.detail

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "detail": detail,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.error_detail import ErrorDetail  # noqa: PLC0415
        from ..models.invalid_item import InvalidItem  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_detail(data: object) -> ErrorDetail | list[InvalidItem] | str:
            try:
                if not isinstance(data, list):
                    raise TypeError()
                componentsschemas_detail_type_1 = []
                _componentsschemas_detail_type_1 = data
                for componentsschemas_invalid_items_item_data in _componentsschemas_detail_type_1:
                    componentsschemas_invalid_items_item = InvalidItem.from_dict(
                        componentsschemas_invalid_items_item_data
                    )

                    componentsschemas_detail_type_1.append(componentsschemas_invalid_items_item)

                return componentsschemas_detail_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                return ErrorDetail.from_dict(data)

            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ErrorDetail | list[InvalidItem] | str, data)

        detail = _parse_detail(d.pop("detail"))

        error_body = cls(
            detail=detail,
        )

        error_body.additional_properties = d
        return error_body
