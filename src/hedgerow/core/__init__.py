"""The race of attempts, its outcomes and its rules: no I/O, and no clock of their own."""
