"""The schema of the delivery database, revision by revision."""
