"""How good the recommendations would have been (4.1)."""
