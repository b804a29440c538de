"""Pictures from files: whole, in windows, at reduced scale, in tiles.

- `reading`: `read_picture` and `open_source`, whatever the format.
- `windows`: `PictureSource`, of which windows are read; here that of an array.
- `pillow_files`: that of files which Pillow decodes, and its limit on the size.
- `tiff_files`: that of TIFF, strip by strip and level by level.
- `reduced`: `ReducedPicture`, which stands for a larger original.
- `pixels`: what becomes of values: 8-bit RGB.
- `tiles`: detection tile by tile.
"""
