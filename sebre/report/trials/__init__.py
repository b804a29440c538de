"""Trials of networks beyond their test parts, and what stand-in data may say of the paper."""
