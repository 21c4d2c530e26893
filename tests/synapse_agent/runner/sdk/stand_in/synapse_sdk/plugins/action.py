"""Actions of the class kind."""

from __future__ import annotations


class BaseAction:
    """Checks its params with `params_model`, then executes."""

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    @classmethod
    def dispatch(cls, params, ctx):
        return cls(cls.params_model.model_validate(params, context={"client": ctx.client}), ctx).execute()


def validate_result(result, model, logger):
    """Log a warning for a result of another type."""
    if not isinstance(result, model):
        logger.log("warning", "message", {"content": f"the result is no {model.__name__}"})
