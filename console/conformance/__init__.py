"""The participant conformance kit: does a participant keep the promises that the sagas rest on?

Invariant: it is a client of the contract and of nothing else: the generated messages, grpc and
pytest. So whatever it finds of our participants it finds of anybody's, written in any language. It
must never look behind the RPCs.
"""
