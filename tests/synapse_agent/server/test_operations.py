"""The route table, which the agent reads from the contract."""

from __future__ import annotations

import pytest

from synapse_agent.server.operations import ContractError, load_contract, match_handlers, read_operations


def test_every_operation_is_read_with_what_its_requests_may_hold() -> None:
    """Paths, parameters and bodies come from the contract alone."""
    operations = {operation.operation_id: operation for operation in read_operations(load_contract())}
    listing = operations["list_plugin_releases"]
    assert (listing.method, listing.path, listing.takes_any_query) == ("GET", "/plugin_releases/", True)
    assert set(listing.query_parameters) == {"page", "page_size", "plugin", "version", "name", "category"}
    run = operations["run_plugin_release"]
    assert (run.method, run.path) == ("POST", "/plugin_releases/{lookup}/run/")
    assert set(run.path_parameters) == {"lookup"}
    assert run.is_body_lenient
    assert run.body
    assert run.body.definition == {"$ref": "#/components/schemas/RunRequest"}
    assert operations["run_debug_plugin_release"].is_body_lenient is False
    assert operations["health_check"].body is None


def test_handlers_are_exactly_the_operations() -> None:
    """With a missing or an additional handler, the agent does not start."""
    operations = read_operations(load_contract())
    names = {operation.operation_id: None for operation in operations}
    match_handlers(operations, names)
    with pytest.raises(ContractError, match=r"without a handler: .'get_job'"):
        match_handlers(operations, {name: None for name in names if name != "get_job"})
    with pytest.raises(ContractError, match=r"without an operation: .'more'"):
        match_handlers(operations, {**names, "more": None})
