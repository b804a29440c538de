"""Trials of networks beyond their test parts: changed sections, other scans, copied labels; and of
several networks as one.

Nothing is trained here. Each module is a program that writes a file of results;
`sebre.report` reads them.
"""
