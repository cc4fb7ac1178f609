"""The quickstart: a model made on the spot, a hub to fetch it from, users to serve, and one bad release."""
