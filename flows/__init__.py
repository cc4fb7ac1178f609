"""Verbs: the order of stages, and the gates between them. Numbers are judged elsewhere."""
