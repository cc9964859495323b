"""Where models go: the apps as data."""
