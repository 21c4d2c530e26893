"""Actions that are classes."""

from __future__ import annotations


class Validator:
    def __init__(self, **options):
        self.known = options.get("known", ["car", "tree"])

    def validate(self, data):
        unknown = [label for label in data if label not in self.known]
        return {"valid": not unknown, "unknown": unknown}


class Ranking:
    def __init__(self, params, context):
        self.scores = params["scores"]
        self.logger = context.logger

    def run(self):
        self.logger.info("ranking %d", len(self.scores))
        return sorted(self.scores, key=self.scores.get, reverse=True)
