"""The parts that the actions use."""
