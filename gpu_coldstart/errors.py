"""The one exception a user's mistake may raise."""

from __future__ import annotations

__all__ = ["UserError"]


class UserError(Exception):
    """A mistake in the input, the options or the surroundings, told in one sentence.

    The message names the file, column and row where there is one, and what to do about it.
    The command prints it without a traceback and exits with status 2.

    Examples
    --------
    >>> raise UserError("users.parquet has no column 'user_id': add it (int64, unique)")
    Traceback (most recent call last):
    gpu_coldstart.errors.UserError: users.parquet has no column 'user_id': add it (int64, unique)
    """
