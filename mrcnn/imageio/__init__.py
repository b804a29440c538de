"""Pictures from files: whole, in windows, at reduced scale, in tiles.

- `reading`: `read_picture` and `open_source`, whatever the format. The one way in.
- `header`: `PictureHeader`, what a file says, and `Choice`, what the user takes of a stack.
- `windows`: `PictureSource`, of which windows are read; here that of an array.
- `pillow_files`: that of files which Pillow decodes.
- `tiff_files`: that of TIFF, strip by strip and level by level; `tiff_headers` says what is in one.
- `color_models`: gray or RGB from white-is-zero, palettes, CMYK, YCbCr and L*a*b*.
- `contrast`: 8 bits from deeper values.
- `reduced`: `ReducedPicture`, which stands for a larger original.
- `label_files`: masks and label maps.
- `tiles`: detection tile by tile.
"""
