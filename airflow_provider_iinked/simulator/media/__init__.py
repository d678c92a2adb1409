"""Sample recordings that the simulator serves; see README.md in this folder for how they were made."""
