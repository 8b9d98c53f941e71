"""The interface.

Resources (pydantic, the source of the CRDs), and the request and report between controller and runner.

Nothing is imported here: the runner starts with `request` and `report` alone and must not pay for pydantic.
"""
