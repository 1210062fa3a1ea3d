"""The demonstration: a head-end, a small simulated fleet, and recharges that meet every trouble."""
