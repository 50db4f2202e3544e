"""The sandbox behind the gateway's port: an embedded outside world with a ledger of its own."""
