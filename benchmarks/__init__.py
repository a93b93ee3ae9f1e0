"""What Crossfade is measured by. Each benchmark is a package with a `__main__`; README.md says what each one is."""
