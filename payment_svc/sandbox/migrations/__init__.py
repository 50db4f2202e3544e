"""The schema of the sandbox gateway's ledger, revision by revision."""
