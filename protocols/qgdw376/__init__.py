"""Q/GDW 376.1 (1376.1): concentrators of China's utilities and their master station. Bytes only."""
