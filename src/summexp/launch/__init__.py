"""The machine: what it has, and the device that a process runs on."""
