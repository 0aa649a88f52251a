"""The network, its objective, and the problems solved exactly at fixed directions."""
