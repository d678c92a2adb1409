"""Operators, thin: arguments in, XCom out. Knows everything below; neither sensors nor triggers."""
