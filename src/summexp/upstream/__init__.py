"""Interface to other libraries: their errors, and private or unstable names in use."""
