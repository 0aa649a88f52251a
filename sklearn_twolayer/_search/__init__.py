"""The search without a schedule: exact networks, or neurons worth their price."""
