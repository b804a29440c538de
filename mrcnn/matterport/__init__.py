"""What programs for Matterport's package ask of its TensorFlow 1 graph; nothing else needs it."""
