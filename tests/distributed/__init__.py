"""Logs that fit no machine: what Spark counts is what one machine counts."""
