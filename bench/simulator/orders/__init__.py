"""The order process as a world: its participants' own domains, and what has to hold of them."""
