"""The driver's process: the only place that knows Ray; places runs on nodes."""
