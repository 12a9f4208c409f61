"""The data contract: tables, ids, catalogue, cohorts, signals, and what is known of users."""
