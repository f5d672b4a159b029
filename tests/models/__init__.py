"""Hostile and ordinary models: capture against a truth that uses no hooks, and against not attaching."""
