"""The stages' hands: each task unpacks its input, calls one thing, and returns a plain value."""
