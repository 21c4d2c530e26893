"""The agent's process: connects to the cluster and starts the driver."""
