"""Rollouts played through: the real judge and decide over traffic that is made up, recorded, or split anew."""
