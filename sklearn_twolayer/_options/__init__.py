"""Schedules and the validated parameters of a path."""
