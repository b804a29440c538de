"""What networks here should reach, beside what stored results say: met, missed, not measured."""
