"""The only place that goes to the net."""
