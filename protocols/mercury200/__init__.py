"""Mercury 200 and its family: single-phase meters on RS485, with commands of their own."""
