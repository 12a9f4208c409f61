"""Better settings of one part of the flow, found by trials on the validation users."""
