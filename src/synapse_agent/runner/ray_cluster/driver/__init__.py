"""The driver's process: places runs on nodes; only this package uses Ray."""
