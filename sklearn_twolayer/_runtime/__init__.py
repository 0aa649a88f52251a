"""Threads, memory and limits of a fit."""
