"""The vocabulary and the decisions. Standard library only, frozen values, no input or output."""
