"""A fitted model: in memory, on disk, and the reasons for its lists (3.3)."""
