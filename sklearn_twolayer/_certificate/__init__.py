"""The dual certificate: search for its peaks, duality gap."""
