"""Training and scoring of `sebre.place`: where synthetic sections are cut, in one common frame."""
