"""The action `to_task`."""

from __future__ import annotations

from typing import Any

from synapse_sdk.plugins.actions.to_task import ToTaskAction


class ToTask(ToTaskAction):
    """Adds the place of its file of hints to each task."""

    action_name = "to_task"

    def convert_data_from_file(
        self,
        primary_file_url: str,
        primary_file_name: str | None,
        data_file_url: str,
        data_file_name: str | None,
        task_data: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Name the image and the hints of a task."""
        image = {"name": primary_file_name, "url": primary_file_url}
        return {"task": task_data["id"], "image": image, "hints": {"name": data_file_name, "url": data_file_url}}

    def convert_data_from_inference(self, inference_data: Any, task_data: dict[str, Any] | None = None) -> Any:
        """Return a model's answer unchanged."""
        return {"task": task_data["id"], "answer": inference_data}
