"""A training folder becomes a plan: its checkpoints, what headers and settings say, and TOML with comments."""
