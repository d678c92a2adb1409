"""Chains in one line. Knows the operators and the sensor that it composes."""
