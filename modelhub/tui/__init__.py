"""The terminal user interface: a door like the others, over the same hub."""
