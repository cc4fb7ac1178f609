"""Each benchmark starts what it needs, ends by itself, and prints its figures as name=number."""
