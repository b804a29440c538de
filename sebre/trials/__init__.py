"""Trials of shipped networks beyond their test parts: changed sections, other scans, copied labels.

Nothing is trained here. Each module is a program that writes a file of results;
`sebre.report.trials` reads them.
"""
