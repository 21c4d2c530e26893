"""Results with files: the caller gets references, which params accept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError, ServerError

PRODUCES = """
    from pathlib import Path

    def act(context):
        folder = context.outputs / "sub"
        folder.mkdir()
        (folder / "mödel.bin").write_bytes(b"weights")
        (context.outputs / "empty").touch()
        return {
            "model": folder / "mödel.bin",
            "list": [context.outputs / "empty", 1],
            "elsewhere": Path("/etc/hostname"),
            "text": str(folder / "mödel.bin"),
            "quoted": '{"$file":{"id":"","name":"empty"}}',
            "folder": folder,
        }
    """
READS = """
    from pathlib import Path

    def act(model):
        return [Path(model).name, Path(model).read_text()]
    """


def test_a_path_below_the_outputs_is_a_reference_that_can_be_passed_on(
    client: AgentClient, act, tmp_path: Path
) -> None:
    """The reference works for other runs and for the caller; other paths, and all strings, stay strings."""
    result = act(PRODUCES, job_id="produces")
    reference = result["model"]
    assert reference == {
        "$file": {
            "id": hashlib.sha256(b"weights").hexdigest(),
            "name": "sub/mödel.bin",
            "size": 7,
            "media_type": "application/octet-stream",
        }
    }
    assert result["list"][0]["$file"]["size"] == 0
    assert result["elsewhere"] == "/etc/hostname"
    assert result["text"].endswith("/outputs/sub/mödel.bin")
    assert result["quoted"] == '{"$file":{"id":"","name":"empty"}}'
    assert result["folder"].endswith("/outputs/sub")
    assert act(READS, {"model": reference}) == ["mödel.bin", "weights"]
    assert client.download_file(reference, to=tmp_path) == tmp_path / "mödel.bin"
    assert client.get_job("produces")["result"] == result
    listed = {file["name"]: file["reference"] for file in client.list_job_files("produces")}
    assert listed == {"empty": result["list"][0], "sub/mödel.bin": reference}


def test_a_reference_outlives_its_job(client: AgentClient, act) -> None:
    """When the job is deleted, the agent keeps the file like an uploaded one."""
    reference = act(PRODUCES, job_id="owner")["model"]
    client.delete_job("owner")
    assert act(READS, {"model": reference})[1] == "weights"


def test_many_bytes_figures_and_images_become_files(client: AgentClient, act, tmp_path: Path) -> None:
    """They are values that JSON can't express; a few bytes, and lists of any size, stay in the result."""
    source = """
        import matplotlib.pyplot, PIL.Image

        def act():
            figure, axes = matplotlib.pyplot.subplots()
            axes.plot([1, 2, 4])
            image = PIL.Image.new("RGB", (3, 2))
            modes = ["1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "CMYK", "HSV", "LAB", "YCbCr", "F", "I", "I;16"]
            return {
                "figures": [figure, matplotlib.pyplot.figure()],
                "image": image, "same": image, "cropped": image.crop((0, 0, 1, 1)), "print": image.convert("CMYK"),
                "modes": {mode: PIL.Image.new(mode, (3, 2)) for mode in modes},
                "bytes": b"x" * (2**20 + 1), "few": b"abc", "view": memoryview(b"y" * 2**21),
                "numbers": [1.5] * 300_000,
            }
        """
    result = act(source, job_id="rich", requirements=["matplotlib", "pillow"])
    names = [
        each["$file"]["name"] for each in (*result["figures"], result["image"], result["cropped"], result["print"])
    ]
    assert names == ["figure.png", "figure-2.png", "image.png", "image-2.png", "image.tiff"]
    assert result["same"] == result["image"]
    assert result["image"]["$file"]["media_type"] == "image/png"
    heads = {"png": (b"\x89PNG",), "tiff": (b"II", b"MM")}
    for each in (*result["figures"], result["print"], *result["modes"].values()):
        content = client.download_file(each, to=tmp_path).read_bytes()
        assert content.startswith(heads[each["$file"]["name"].rpartition(".")[2]])
    assert result["bytes"]["$file"]["size"] == 2**20 + 1
    assert (result["few"], len(result["numbers"])) == ("YWJj", 300_000)
    assert client.download_file(result["view"], to=tmp_path).read_bytes() == b"y" * 2**21
    assert len(client.list_job_files("rich")) == 7 + 15


def test_a_result_whose_file_was_not_kept_is_an_error(act) -> None:
    """The result has no dangling reference: here the action's last threads remove the file."""
    source = """
        import atexit
        def act(context):
            path = context.outputs / "gone"
            path.touch()
            atexit.register(path.unlink)
            return path
        """
    with pytest.raises(ServerError, match="refers to the file 'gone', which was not stored") as caught:
        act(source)
    assert caught.value.error_type == "result_not_kept"
    assert not isinstance(caught.value, ActionFailedError)


def test_a_job_in_the_background_has_the_references_too(client: AgentClient, act) -> None:
    """They are in its record and in what `wait_for_job` returns."""
    act(PRODUCES, job_id="behind", background=True)
    result = client.wait_for_job("behind")
    assert json.loads(json.dumps(result["model"]))["$file"]["id"] == hashlib.sha256(b"weights").hexdigest()
