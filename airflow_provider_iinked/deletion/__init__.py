"""Deleting exactly what was meant: the order, the plan, the proof right before each request, the receipt."""
