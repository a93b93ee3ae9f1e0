"""Evaluation: what one tick's judgement of one check costs."""
