"""The revisions of the orchestrator's database.

Invariant: one after another, from an empty database to this release's. One that was released must
never change.
"""
