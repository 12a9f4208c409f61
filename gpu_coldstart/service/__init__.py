"""A model as an HTTP service: routes, micro-batches, limits, metrics and what users did."""
