"""What lets older packages run here: imgaug on NumPy 2."""
