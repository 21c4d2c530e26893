"""The edits of openapi-python-client's own templates."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import generate
import pytest
from stock_templates import EDITS, Edit, MovedText, write_edited

STOCK = Path(str(distribution("openapi-python-client").locate_file("openapi_python_client/templates")))


def test_every_edit_is_in_the_template_that_it_names(tmp_path: Path) -> None:
    """Each edit replaces its text, and nothing else."""
    write_edited(STOCK, tmp_path)
    for edit in EDITS:
        edited = (tmp_path / edit.template).read_text(encoding="utf-8")
        assert edit.new in edited
    assert {path.name for path in tmp_path.iterdir()} == {edit.template for edit in EDITS}


@pytest.mark.parametrize(("text", "times"), [("status: HTTPStatus", 0), ("status: int, status: int", 2)])
def test_an_edit_whose_text_has_changed_is_reported(tmp_path: Path, text: str, times: int) -> None:
    """The error has the template, the text, how often it occurs, and the purpose of the edit; nothing is written."""
    stock, folder = tmp_path / "stock", tmp_path / "folder"
    for each in (stock, folder):
        each.mkdir()
    (stock / "types.py.jinja").write_text(text)
    edit = Edit("types.py.jinja", "odd statuses are kept", "status: int", "status: Any")
    with pytest.raises(MovedText, match=f"types.py.jinja has 'status: int' {times} times, not once.*odd statuses"):
        write_edited(stock, folder, [edit])
    assert list(folder.iterdir()) == []


def test_a_generation_ends_with_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make generate` fails, names the edit, and leaves generated/ unchanged."""
    (tmp_path / "openapi_python_client" / "templates").mkdir(parents=True)
    for edit in EDITS:
        (tmp_path / "openapi_python_client" / "templates" / edit.template).write_text("moved")

    class Elsewhere:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(generate, "distribution", lambda _: Elsewhere())
    with pytest.raises(SystemExit, match=r"client.py.jinja has .* 0 times, not once.*generated/ is unchanged"):
        generate.lay_out_templates(tmp_path / "templates")
