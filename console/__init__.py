"""What people use: the `oms` command.

Invariant: everything here is a client of the contract. It reads and writes through gRPC alone and
starts the services as processes; so whatever it can do, any other gRPC client can do too. It must
never import a service, nor open a database.
"""
