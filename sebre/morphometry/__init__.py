"""Predicted regions of many animals by age or group: `sebre morphometry`."""
