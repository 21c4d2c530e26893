"""What a run leaves in its folder of outputs."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import httpx
import pytest
from waiting import until

from synapse_agent import EmbeddedAgent
from synapse_agent.files.outputs import Outputs
from synapse_agent.storage.trees import remove_tree
from synapse_sdk.clients.agent import AgentClient
from synapse_sdk.exceptions import ActionFailedError, NotFoundError

LEAVES = """
    import os
    from pathlib import Path

    def act(files, context):
        assert os.environ["SYNAPSE_OUTPUT_DIR"] == str(context.outputs)
        for name, size in files.items():
            path = context.outputs / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * size)
        if "fail" in files:
            raise ValueError("after writing")
        return sorted(files)
    """


def test_a_job_s_files_are_listed_and_downloaded(client: AgentClient, act, tmp_path: Path) -> None:
    """Each file has its size, type and digest; nested folders are preserved."""
    sizes = {"model/weights.pt": 20_000_000, "plot.png": 10, "empty": 0}
    assert act(LEAVES, {"files": sizes}, job_id="leaves") == sorted(sizes)
    files = client.list_job_files("leaves")
    assert [(file["name"], file["size"]) for file in files] == sorted(sizes.items())
    assert files[2]["media_type"] == "image/png"
    assert [file["sha256"] for file in files] == [
        hashlib.sha256(b"x" * sizes[file["name"]]).hexdigest() for file in files
    ]
    seen: list[tuple[int, int]] = []
    paths = client.download_job_files("leaves", to=tmp_path / "all", on_progress=lambda *moved: seen.append(moved))
    assert [path.relative_to(tmp_path / "all").as_posix() for path in paths] == sorted(sizes)
    assert [path.read_bytes() for path in paths] == [b"x" * sizes[file["name"]] for file in files]
    assert seen[-1] == (20_000_010, 20_000_010)
    assert len(seen) >= 3
    assert client.download_job_file("leaves", "plot.png", to=tmp_path) == tmp_path / "plot.png"
    assert client.download_job_file("leaves", "plot.png", to=tmp_path / "as.png").read_bytes() == b"x" * 10
    assert not list(tmp_path.rglob("*.part"))


DEEP = """
    import os

    def act(levels):
        os.chdir(os.environ["SYNAPSE_OUTPUT_DIR"])
        for _ in range(levels):
            os.mkdir("d")
            os.chdir("d")
        with open("file", "w") as file:
            file.write("x")
    """


def test_files_in_folders_of_any_depth_are_downloaded_and_removed(client: AgentClient, act, tmp_path: Path) -> None:
    """Python's own functions for trees fail beyond a thousand levels."""
    act(DEEP, {"levels": 1200}, job_id="deep")
    (path,) = client.download_job_files("deep", to=tmp_path)
    assert path.read_text() == "x"
    assert len(path.relative_to(tmp_path).parts) == 1201
    client.delete_job("deep")
    with pytest.raises(NotFoundError):
        client.list_job_files("deep")
    remove_tree(tmp_path)  # which pytest could not


def test_a_run_that_fails_keeps_what_it_wrote(client: AgentClient, act) -> None:
    """It keeps what was written before the failure."""
    with pytest.raises(ActionFailedError):
        act(LEAVES, {"files": {"checkpoint": 3, "fail": 1}}, job_id="fails")
    assert [file["name"] for file in client.list_job_files("fails")] == ["checkpoint", "fail"]


def test_a_run_that_is_stopped_keeps_what_it_wrote(runner: str, client: AgentClient, act) -> None:
    """A stopped training keeps its last checkpoint; while it runs on this machine, its current files are listed."""
    source = """
        import time
        def act(context):
            (context.outputs / "checkpoint").write_text("epoch 1")
            context.log("written")
            time.sleep(100)
        """
    act(source, job_id="stopped", background=True)
    until(lambda: client.get_job("stopped")["events"])
    if runner == "local":
        assert client.list_job_files("stopped") == [
            {"name": "checkpoint", "size": 7, "sha256": None, "media_type": "application/octet-stream"}
        ]
        with pytest.raises(NotFoundError, match="checkpoint"):
            client.download_job_file("stopped", "checkpoint")
    client.stop_job("stopped")
    assert [(file["name"], file["size"]) for file in client.list_job_files("stopped")] == [("checkpoint", 7)]


def test_only_files_are_kept_and_the_log_names_the_rest(client: AgentClient, act) -> None:
    """Links, pipes and names that are not text are left out: nothing may lead the agent elsewhere."""
    source = """
        import os
        def act(context):
            os.symlink("/etc/passwd", context.outputs / "link")
            os.symlink("/etc", context.outputs / "folder")
            os.mkfifo(context.outputs / "pipe")
            open(bytes(context.outputs) + b"/caf\\xe9", "w").close()
            hidden = context.outputs / "hidden"
            hidden.mkdir()
            (hidden / "file").write_text("there")
            os.chmod(hidden / "file", 0)
            os.chmod(hidden, 0)
            os.chmod(context.outputs, 0)
        """
    act(source, job_id="odd")
    assert [file["name"] for file in client.list_job_files("odd")] == ["hidden/file"]
    log = client.get_job_logs("odd")
    for note in ("link: a link", "folder: a link", "pipe: not a file", r"caf\xe9: its name is not UTF-8"):
        assert f"... not kept: {note} ..." in log


@pytest.mark.parametrize("instead", ["os.symlink('/etc', outputs)", "open(outputs, 'w').close()", "pass"])
def test_a_run_that_takes_its_folder_away_has_no_files(client: AgentClient, act, instead: str) -> None:
    """Nor does a run that replaces the folder by something else."""
    source = f"import os\n\ndef act(context):\n    outputs = str(context.outputs)\n    os.rmdir(outputs)\n    {instead}"
    act(source, job_id=f"taken-{len(instead)}")
    assert client.list_job_files(f"taken-{len(instead)}") == []


def test_files_go_with_their_job(client: AgentClient, act) -> None:
    """Reusing the job's ID removes them, too; a missing file is 404."""
    act(LEAVES, {"files": {"one": 1}}, job_id="goes")
    with pytest.raises(NotFoundError, match="has no file 'two'") as caught:
        client.download_job_file("goes", "two")
    assert caught.value.error_type == "file_not_found"
    client.delete_job("goes")
    with pytest.raises(NotFoundError, match=r"The job 'goes' was not found"):
        client.list_job_files("goes")


def test_parts_of_a_file_are_sent_as_http_has_it(agent: EmbeddedAgent, act) -> None:
    """One range per request is supported; otherwise the whole file is sent. Browsers don't render it as a page."""
    act("def act(context):\n    (context.outputs / 'pagé.html').write_text('0123456789')\n", job_id="ranges")
    with httpx.Client(base_url=agent.base_url, headers={"Authorization": agent.token}) as http:

        def answer(header: str | None) -> tuple[int, str, str | None]:
            headers = {} if header is None else {"Range": header}
            got = http.get("/jobs/ranges/files/content/", params={"name": "pagé.html"}, headers=headers)
            return got.status_code, got.text, got.headers.get("content-range")

        assert answer(None) == answer("bytes=0-1,3-4") == answer("lines=1-2") == (200, "0123456789", None)
        assert answer("bytes=2-4") == (206, "234", "bytes 2-4/10")
        assert answer("bytes=8-") == answer("bytes=-2") == answer("bytes=8-99") == (206, "89", "bytes 8-9/10")
        status, text, _ = answer("bytes=10-")
        assert (status, "range_not_satisfiable" in text) == (416, True)
        whole = http.get("/jobs/ranges/files/content/", params={"name": "pagé.html"})
        assert whole.headers["content-type"] == "application/octet-stream"
        assert whole.headers["content-disposition"] == "attachment; filename*=utf-8''pag%C3%A9.html"
        assert http.head("/jobs/ranges/files/content/", params={"name": "pagé.html"}).headers["content-length"] == "10"
        assert http.get("/jobs/ranges/files/content/").json()["detail"][0]["loc"] == ["query", "name"]


def test_what_a_job_may_keep_is_bounded(tmp_path: Path) -> None:
    """Files that exceed the limit are left out; smaller ones after them are still kept."""
    left = tmp_path / "left"
    left.mkdir()
    for name, size in {"a": 60, "b": 60, "c": 40}.items():
        (left / name).write_bytes(b"x" * size)
    outputs = Outputs(tmp_path / "job" / "outputs", limit=100)
    assert outputs.take(left)
    assert outputs.settle() == b"... not kept: b: 60 B, more than a job may keep ...\n"
    assert [(file.name, file.size) for file in outputs.files()] == [("a", 60), ("c", 40)]
    assert outputs.size() == 100
    outputs.remove()
    assert list((tmp_path / "job").iterdir()) == []


def test_runs_at_once_keep_their_files_apart(client: AgentClient, act) -> None:
    """Each job has its own."""
    threads = [
        threading.Thread(target=act, args=(LEAVES, {"files": {f"file-{n}": n}}), kwargs={"job_id": f"apart-{n}"})
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(8):
        assert [(file["name"], file["size"]) for file in client.list_job_files(f"apart-{n}")] == [(f"file-{n}", n)]
