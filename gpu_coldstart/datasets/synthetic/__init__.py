"""A synthetic world with the difficulties of the real one."""
