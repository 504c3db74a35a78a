"""The model card: what a reviewer reads before a version may score."""
