"""Stages, their artifacts, resuming, progress."""
