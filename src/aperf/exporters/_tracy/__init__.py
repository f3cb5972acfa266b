"""The parts of the Tracy exporter: history, listener, viewer, and the mapping between them."""
