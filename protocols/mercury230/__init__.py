"""Mercury 230 and its family: three-phase meters on RS485, with commands of their own."""
