"""Proof: the custody record beside each copy, the receipt of each deletion, and what must agree before one."""
