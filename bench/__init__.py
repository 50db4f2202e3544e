"""Instruments that put the system to the test: see docs/simulation.md."""
