"""Clients of the services that take part in an order process: one module for each."""
