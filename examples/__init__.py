"""Commented specs, and the quickstart."""
