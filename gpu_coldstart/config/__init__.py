"""Every parameter of a run, validated; presets, protocols, TOML in and out."""
