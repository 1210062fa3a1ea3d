"""Simulated meters, lines and fleets: what `headend simulate` and `headend demo` run.

They are built on our own codecs but keep their own rules, registers and faults.
"""
