"""Observability for operators: the log, metrics, traces, and the stream of changes."""
