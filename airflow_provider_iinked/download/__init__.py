"""Copying one package's recordings into the company's storage: what to copy, what is there, publication."""
