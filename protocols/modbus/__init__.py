"""Modbus registers: what 16-bit words mean. Frames and lines are another room's business."""
