"""Sample model files: sparse, with genuine tensor names and shapes, for `modelhub demo` and for tests."""
