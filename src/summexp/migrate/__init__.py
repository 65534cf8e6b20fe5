"""Translation of commands of the old Hugging Face scripts into commands of `train.py`.

`command` is the whole way, `shell` reads the text, `flags` describes a flag, and `script_flags`,
`training_flags` and `removed_flags` are the tables of all flags.

Tested in tests/migrate/test_command.py.
"""
