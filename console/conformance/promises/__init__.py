"""The promises, one module for each thing that a participant can get wrong.

Invariant: a promise asks for nothing that another one is about: what it only needs, it needs with
`need`, so that one mistake breaks one line. It must never rest on what an earlier one left behind.
"""
