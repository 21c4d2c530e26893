"""What a machine has for runs, and which run gets what of it, and when: slots, CPUs, memory and GPUs."""
