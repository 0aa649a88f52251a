"""The dual certificate: the search for its peaks, and the duality gap."""
