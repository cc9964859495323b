"""Inspection and rules in, verdict out. Pure: no disk, no database, no net."""
