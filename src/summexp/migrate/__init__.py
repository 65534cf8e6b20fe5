"""From a command line of the old Hugging Face scripts to the same run with `train.py`.

`flags` is the table of what they took, and `command` the way of a command line through it.

Tested in tests/migrate/test_command.py.
"""
