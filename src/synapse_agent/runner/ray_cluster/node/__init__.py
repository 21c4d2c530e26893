"""The process on each node: an actor that drives a local runner there."""
