"""DL/T 645-2007: the meter protocol of China's utilities, on RS485 and infrared. Bytes only."""
