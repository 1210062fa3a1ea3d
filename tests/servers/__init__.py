"""The real servers and lines that tests run against, each started and ended by its fixture.

Nothing here skips: what is missing is a failure that says what to install.
"""
