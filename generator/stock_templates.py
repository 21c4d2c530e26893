"""Edits of a few lines to openapi-python-client's own templates.

Each edit names text of a stock template. If a new release has moved or changed that text, generating fails and names
the edit, instead of silently omitting it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Edit:
    """A text that occurs once in a stock template, and its replacement."""

    template: str
    why: str
    old: str
    new: str


CLIENT = "client.py.jinja"
MODEL = "model.py.jinja"
TYPES = "types.py.jinja"
UNION = "property_templates/union_property.py.jinja"
HIDDEN = "secrets stay out of repr()"

SELF = "a class needs no type variable of its own"
OPEN = "objects with further keys share a base class, instead of a third of each module"
PLAIN = "a union of types that JSON has, such as text or null, is read and written without a function or a branch"
_IS_PLAIN = """{{% for inner_property in property.inner_properties %}}
{{% import "property_templates/" + inner_property.template as inner_template %}}
{{% set {name}.is_plain = {name}.is_plain and not inner_template.{macro} %}}
{{% endfor %}}
"""
_OPEN_METHODS = """    {% if model.additional_properties %}
    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> {{ additional_property_type }}:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: {{ additional_property_type }}) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
    {% endif %}"""

EDITS = (
    Edit(
        CLIENT,
        "the HTTP library is named in one module, and errors are made in one place",
        "\nimport httpx\n",
        "\nfrom . import errors\nfrom .http_library import httpx\n",
    ),
    Edit(CLIENT, HIDDEN, 'type="str", default="",', 'type="str", default="field(repr=False)",'),
    Edit(CLIENT, HIDDEN, 'alias="headers")', 'alias="headers", repr=False)'),
    Edit(CLIENT, HIDDEN, 'alias="cookies")', 'alias="cookies", repr=False)'),
    Edit(CLIENT, HIDDEN, 'alias="httpx_args")', 'alias="httpx_args", repr=False)'),
    Edit(
        CLIENT,
        "errors are made in one place, which a subclass can override",
        "    def set_httpx_client(",
        '''    def unexpected(self, response: httpx.Response, cause: Exception | None = None) -> Exception:
        """Return the error for an answer that violates the contract: its status or, given a cause, its body"""
        kind = errors.UnexpectedStatus if cause is None else errors.UnexpectedBody
        return kind(response.status_code, response.content)

    def set_httpx_client(''',
    ),
    Edit(
        TYPES,
        "statuses that http.HTTPStatus does not know (499, 520, ...) are kept as they are",
        "status_code: HTTPStatus\n",
        "status_code: int\n",
    ),
    Edit(
        TYPES,
        "UNSET is readable in output",
        "        return False\n",
        '        return False\n\n    def __repr__(self) -> str:\n        return "UNSET"\n',
    ),
    Edit(
        MODEL,
        OPEN,
        "class {{ class_name }}:\n",
        "class {{ class_name }}"
        '{% if model.additional_properties %}(OpenObject["{{ additional_property_type }}"]){% endif %}:\n',
    ),
    Edit(
        MODEL,
        OPEN,
        "from ..types import UNSET, Unset\n",
        "from ..open_object import OpenObject\nfrom ..types import UNSET, Unset\n",
    ),
    Edit(MODEL, OPEN, _OPEN_METHODS, ""),
    Edit(MODEL, SELF, "from typing import Any, TypeVar,", "from typing import Any, Self,"),
    Edit(MODEL, SELF, 'T = TypeVar("T", bound="{{ class_name }}")\n\n', ""),
    Edit(
        MODEL,
        SELF,
        "(cls: type[T], src_dict: Mapping[str, Any]) -> T:",
        "(cls, src_dict: Mapping[str, Any]) -> Self:",
    ),
    Edit(
        UNION,
        PLAIN,
        "{% macro construct(property, source) %}\n",
        "{% macro construct(property, source) %}\n{% set union = namespace(is_plain = true) %}\n"
        + _IS_PLAIN.format(name="union", macro="construct")
        + "{% if union.is_plain %}\n{{ property.python_name }} = "
        "cast({{ property.get_type_string() | as_unembedded_code }}, {{ source }})\n{% else %}\n",
    ),
    Edit(
        UNION,
        PLAIN,
        " = _parse_{{ property.python_name }}({{ source }})\n",
        " = _parse_{{ property.python_name }}({{ source }})\n{% endif %}\n",
    ),
    Edit(
        UNION,
        PLAIN,
        "contains_modified_properties = not property.required, has_if = false) %}\n",
        "contains_modified_properties = false, has_if = false, is_plain = true) %}\n"
        + _IS_PLAIN.format(name="ns", macro="transform"),
    ),
    Edit(UNION, PLAIN, "{% if declare_type %}", "{% if declare_type and not ns.is_plain %}"),
    Edit(UNION, PLAIN, "and not skip_unset %}", "and not skip_unset and not ns.is_plain %}"),
)


class MovedText(Exception):
    """A stock template no longer has the text that an edit replaces."""


def write_edited(stock: Path, folder: Path, edits: Iterable[Edit] = EDITS) -> None:
    """Write the templates that have edits into a folder, edited; raise `MovedText` for an edit that does not fit."""
    texts: dict[str, str] = {}
    for edit in edits:
        text = texts.get(edit.template) or (stock / edit.template).read_text(encoding="utf-8")
        if text.count(edit.old) != 1:
            raise MovedText(
                f"openapi-python-client's {edit.template} has {edit.old!r} {text.count(edit.old)} times, not once, "
                f"so generator/stock_templates.py cannot edit it ({edit.why})."
            )
        texts[edit.template] = text.replace(edit.old, edit.new)
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
