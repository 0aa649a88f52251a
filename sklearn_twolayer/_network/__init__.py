"""The network, its objective, and what is solved at fixed directions."""
