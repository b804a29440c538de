// Regions of `sebre predict --format imagej`, corrected in Fiji or ImageJ (1.52 and later).
//
// Open a picture and run this macro (Plugins > Macros > Run...).
//   load  brings its regions into the ROI Manager: those that were saved before, or else those of
//         the folder that `sebre predict` wrote to. Pictures of one name in several folders have a
//         number there (s1, s1-2): the file that names this picture, its folder and size is taken.
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
        path = predicted(folder, stem, File.getName(pictures) + "/" + file);
    } else {
        roiManager("Reset");
        roiManager("Open", path);
    }
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

// Opens the regions of a picture in the ROI Manager, and returns their file.
function predicted(folder, stem, own) {
    size = "" + getWidth() + "x" + getHeight();
    others = "";
    // A folder of brains has a folder of each.
    folders = newArray(folder);
    inside = getFileList(folder);
    for (k = 0; k < inside.length; k++)
        if (endsWith(inside[k], "/")) folders = Array.concat(folders, folder + inside[k]);
    for (f = 0; f < folders.length; f++) {
        files = getFileList(folders[f]);
        for (k = 0; k < files.length; k++) {
            name = files[k];
            if (!startsWith(name, stem) || !endsWith(name, "_rois.zip")) continue;
            number = substring(name, lengthOf(stem), lengthOf(name) - lengthOf("_rois.zip"));
            if (!matches(number, "(-[0-9]+)?")) continue;
            roiManager("Reset");
            roiManager("Open", folders[f] + name);
            if (roiManager("Count") > 0) {
                roiManager("Select", 0);
                said = Roi.getProperty("picture");
                of = Roi.getProperty("picture_size");
                roiManager("Deselect");
                run("Select None");
                if (said == own) {
                    if (of == size) return folders[f] + name;
                    roiManager("Reset");
                    exit(folders[f] + name + ": of a picture of " + of + " px, this one has " + size + ".");
                }
            }
            others = others + " " + folders[f] + name;
        }
    }
    roiManager("Reset");
    if (others != "") exit("Of other pictures than " + own + ":" + others + ". Nothing loaded.");
    exit(folder + stem + "_rois.zip: no such file. Run sebre predict with --format imagej.");
}
