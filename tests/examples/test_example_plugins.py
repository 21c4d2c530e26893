"""The example plugins work as documented, and report invalid params."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError, ValidationError


@pytest.fixture(autouse=True, scope="module")
def releases(client: AgentClient) -> None:
    """Cache the three plugins."""
    client.create_plugin_release("my_plugin", "1.0.0")
    client.create_plugin_release("ocr_plugin", "2.0.0")
    client.create_plugin_release("ml_model", "1.2.0")


def test_more_epochs_fit_better(client: AgentClient) -> None:
    """The loss after 30 epochs is below the one after 3, and the line is correct."""
    short = client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 3})
    long = client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 30})
    assert len(long["losses"]) == 30
    assert long["losses"][-1] < short["losses"][-1] / 10
    assert (long["slope"], long["intercept"]) == pytest.approx((2, 0.5), abs=0.05)


def test_a_document_is_read_without_its_images(client: AgentClient, examples: Path) -> None:
    """A call that does not add Pillow also gets the text."""
    document = str(examples / "data" / "document.pdf")
    result = client.run_plugin_release("ocr_plugin@2.0.0", "process_document", params={"file_path": document})
    assert result["pages"][1].splitlines()[1] == "reading = 2.0 x tilt + 0.5"
    assert result["images"] is None


@pytest.mark.parametrize(
    ("lookup", "action", "params", "message"),
    [
        ("my_plugin@1.0.0", "train", {"epochs": 0}, "epochs must be a whole number from 1, not 0"),
        ("my_plugin@1.0.0", "train", {"learning_rate": "high"}, "learning_rate must be above 0"),
        ("my_plugin@1.0.0", "train", {"epoch": 3}, "unexpected keyword argument 'epoch'"),
        ("ocr_plugin@2.0.0", "process_document", {"file_path": "/no/such.pdf"}, "there is no file /no/such.pdf"),
        ("ocr_plugin@2.0.0", "process_document", {"file_path": __file__}, "is not a readable PDF"),
        ("ml_model@1.2.0", "predict", {"data": [1, 2]}, "at least 3 numbers"),
    ],
)
def test_bad_params_are_named(
    client: AgentClient, lookup: str, action: str, params: dict[str, Any], message: str
) -> None:
    """The message names each invalid value and what is required."""
    with pytest.raises(ActionFailedError, match=message):
        client.run_plugin_release(lookup, action, params=params)


@pytest.mark.parametrize(
    ("lookup", "action", "params", "message"),
    [
        ("my_plugin@1.0.0", "process", {"input": 3}, "'input' is 3: Input should be a valid string"),
        ("ml_model@1.2.0", "predict", {"data": [1, 2, "x"]}, "'data.2' is 'x': Input should be a valid number"),
    ],
)
def test_params_that_do_not_fit_their_annotations_are_refused(
    client: AgentClient, lookup: str, action: str, params: dict[str, Any], message: str
) -> None:
    """They are refused before the action runs, with place and value."""
    with pytest.raises(ValidationError, match=message):
        client.run_plugin_release(lookup, action, params=params)


def test_the_document_is_what_its_script_makes(examples: Path) -> None:
    """`make_document.py` writes the committed PDF, to the byte."""
    script = runpy.run_path(str(examples / "data" / "make_document.py"))
    assert script["make_document"]() == (examples / "data" / "document.pdf").read_bytes()


def test_the_model_is_what_its_training_writes(examples: Path) -> None:
    """`fit.py` writes the committed weights, which `predict` uses."""
    plugin = examples / "plugins" / "ml_model"
    training = runpy.run_path(str(plugin / "training" / "fit.py"))
    model = runpy.run_path(str(plugin / "plugin" / "predict.py"))
    assert training["fit"](training["read_heights"]()) == model["WEIGHTS"]
