"""Valid records of a backend, and the errors of invalid ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synapse_agent.plugins.backend.addresses import BackendFault
from synapse_agent.plugins.backend.record import SHA256_FIELDS, URL_FIELDS, Record

SHA256 = "0123456789abcdef" * 4


def read(**fields: Any) -> Record:
    return Record.read(json.dumps(fields).encode(), content_type="application/json")


@pytest.mark.parametrize("url_field", URL_FIELDS)
@pytest.mark.parametrize("sha256_field", SHA256_FIELDS)
def test_the_two_fields_have_a_few_names(url_field: str, sha256_field: str) -> None:
    """One of the names is enough; other fields don't matter."""
    fields = {url_field: "/a.zip", sha256_field: SHA256, "id": 7, "plugin": "small"}
    assert read(**fields) == Record(url="/a.zip", sha256=SHA256)


def test_the_first_name_that_is_there_counts() -> None:
    """The record's own address, an MD5 and nulls are ignored."""
    names = {"url": "https://host/plugin_releases/7/", "file": "/a.zip", "download_url": None}
    assert read(**names, checksum="d41d8cd98f00b204e9800998ecf8427e", sha256=SHA256).url == "/a.zip"


@pytest.mark.parametrize("said", [SHA256.upper(), f"sha256:{SHA256}", f" {SHA256}\n"])
def test_a_sha256_may_be_written_in_several_ways(said: str) -> None:
    """It may be in capitals, and have the prefix `sha256:` and whitespace around it."""
    assert read(file="a", sha256=said).sha256 == SHA256


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sha256": SHA256}, "has no URL of an archive: none of archive_url, download_url, file, url is present"),
        ({"file": 3, "sha256": SHA256}, "has a number in 'file' instead of a URL"),
        ({"file": " ", "sha256": SHA256}, "has ' ' in 'file' instead of a URL"),
        ({"archive_url": {}, "file": "a", "sha256": SHA256}, "has an object in 'archive_url' instead of a URL"),
        ({"file": "a"}, "has no sha256: none of sha256, archive_sha256, checksum, digest is present"),
        ({"file": "a", "sha256": True}, "has a boolean in 'sha256' instead of a sha256"),
        ({"file": "a", "sha256": SHA256[1:]}, f"has '{SHA256[1:]}' in 'sha256' instead of a sha256"),
        ({"file": "a", "checksum": "md5:abc"}, "has 'md5:abc' in 'checksum' instead of a sha256"),
    ],
)
def test_an_incomplete_record_is_an_error_with_the_field(fields: dict[str, Any], said: str) -> None:
    """The message has the field and its value."""
    with pytest.raises(BackendFault, match=said):
        read(**fields)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>hello</html>", "is not JSON, but 18 bytes of 'text/html'"),
        (b"", "is not JSON, but 0 bytes"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"9" * 5000, "is not JSON"),
        (b"[]", "is not a JSON object, but a list"),
        (b"null", "is not a JSON object, but null"),
        (b'"text"', "is not a JSON object, but a text"),
    ],
)
def test_what_is_not_a_record_is_described(body: bytes, said: str) -> None:
    """The message describes any bytes."""
    with pytest.raises(BackendFault, match=said):
        Record.read(body, content_type="text/html")
