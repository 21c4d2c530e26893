"""The same action for the public SDK, which runs classes only."""

from pydantic import BaseModel
from synapse_sdk.plugins.action import BaseAction


class Params(BaseModel):
    """The params."""

    a: int
    b: int


class Add(BaseAction[Params]):
    """Add two numbers."""

    action_name = "add"

    def execute(self) -> dict[str, int]:
        """Do it."""
        return {"sum": self.params.a + self.params.b}
