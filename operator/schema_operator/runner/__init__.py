"""One run: from a request to a report. Knows PostgreSQL, never Kubernetes.

Nothing is imported here, so that importing one module costs one module.
"""
