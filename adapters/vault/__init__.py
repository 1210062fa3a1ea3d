"""The security module in software: keys rest under a master key, tokens are made in memory."""
