"""The search without a schedule: for an exact network, or by a criterion."""
