"""Quality gates: suites are data (YAML and JSONL), reports are values, the gate is a pure judge."""
