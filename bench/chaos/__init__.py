"""Chaos: the four services as real processes, under load, on a network that misbehaves.

`python -m bench.chaos --orders N` kills, stops and continues the services while orders pour in and
a proxy on every road loses, cuts, delays and doubles calls. In the end everybody has to agree: the
audit asks every service, and the ledger. See docs/chaos.md.
"""
