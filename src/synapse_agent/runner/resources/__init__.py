"""A machine's resources and their assignment to runs: slots, CPUs, memory and GPUs."""
