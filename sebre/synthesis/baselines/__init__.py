"""What an atlas alone gives on real sections: labels of the nearest template plane, as they lie or
registered."""
