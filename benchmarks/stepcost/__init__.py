"""What a tool costs a training step: workloads, tools, paired timing, memory, and the tables of it."""
