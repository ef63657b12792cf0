"""The exercises: each module of this folder has a list EXERCISES of a few chapters."""
