"""The arithmetic of operators, apart from what it is for."""
