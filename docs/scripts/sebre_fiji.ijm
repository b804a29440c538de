// Regions of `sebre predict --format imagej`, corrected in Fiji or ImageJ (1.51 and later).
//
// Open a picture and run this macro (Plugins > Macros > Run...).
//   load  brings its regions into the ROI Manager: those that were saved before, or else those of
//         the folder that `sebre predict` wrote to.
//   save  writes the ROIs of the manager to annotations/<picture>_rois.zip beside the picture,
//         where `sebre prepare fiji --raw <folder of the pictures>` reads them.
// To correct a region, select it in the list, change it (brush, shift and alt add and take away),
// and click Update. A new one gets the name of its region (Rename).
// As an argument of a macro: "save", or "load <folder of sebre predict>".

if (nImages == 0) exit("Open the picture first.");
pictures = getDirectory("image");
file = getTitle();
if (pictures == "" || !File.exists(pictures + file))
    exit(file + ": wanted a picture that was opened from a file, under its name.");
stem = substring(file, 0, lastIndexOf(file, "."));
saved = pictures + "annotations" + File.separator + stem + "_rois.zip";

what = getArgument();
asked = lengthOf(what) == 0;
if (asked) {
    Dialog.create("Regions of " + file);
    Dialog.addChoice("Regions:", newArray("load", "save"));
    Dialog.show();
    what = Dialog.getChoice();
}
if (startsWith(what, "load")) {
    path = saved;
    if (!File.exists(path)) {
        if (asked) folder = getDirectory("Folder that sebre predict wrote to");
        else folder = substring(what, 5) + File.separator;
        path = folder + stem + "_rois.zip";
    }
    if (!File.exists(path)) exit(path + ": no such file. Run sebre predict with --format imagej.");
    roiManager("Reset");
    roiManager("Open", path);
    roiManager("Show All with labels");
} else {
    if (roiManager("Count") == 0) exit("There is no ROI in the manager to save.");
    for (i = 0; i < roiManager("Count"); i++) {
        name = call("ij.plugin.frame.RoiManager.getName", i);
        if (matches(name, "[0-9-]+")) exit("ROI " + name + ": rename it to the name of its region.");
    }
    if (asked && File.exists(saved)) {
        if (!getBoolean(saved + " is there. Replace it?")) exit();
    }
    File.makeDirectory(pictures + "annotations");
    roiManager("Deselect");
    roiManager("Save", saved);
    showStatus("Saved: " + saved);
}
