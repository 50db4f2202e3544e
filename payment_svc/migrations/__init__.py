"""The schema of the payment database, revision by revision."""
