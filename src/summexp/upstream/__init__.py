"""The border to other libraries: their errors, and the private or unstable names that we use."""
