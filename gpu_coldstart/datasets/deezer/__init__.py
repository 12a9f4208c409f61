"""The public release of the paper's data: its reader, and a writer of its layout."""
