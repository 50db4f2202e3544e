"""A store as small as can be, for the tests of what every store rests on."""
