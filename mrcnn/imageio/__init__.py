"""Pictures from files: whole, in windows, at reduced scale, in tiles.

    reading       read_picture and open_source, whatever the format
    windows       PictureSource, of which windows are read; of an array
    pillow_files  the same of files that Pillow decodes; its limit on the size
    tiff_files    the same of TIFF, strip by strip and level by level
    reduced       ReducedPicture, which stands for a larger original
    pixels        what becomes of values: 8-bit RGB
    tiles         detection tile by tile
"""
