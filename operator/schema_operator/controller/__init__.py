"""Knows Kubernetes, never opens a database: observes, decides (pure), performs."""
