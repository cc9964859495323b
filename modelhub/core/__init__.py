"""Words that every other part uses; needs the standard library, PyYAML and platformdirs only."""
