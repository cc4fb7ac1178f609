"""The ``headgate`` command: one file per group of verbs, no logic."""
