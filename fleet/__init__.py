"""Progressive delivery: a canary's plan, its judge, its state machine, and the fleets that serve it."""
