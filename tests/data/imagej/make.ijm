out = getDirectory("Folder to write");
newImage("p", "8-bit black", 64, 48, 1);
setColor(200); fillRect(3, 3, 9, 7); fillRect(12, 10, 4, 4);   // touching at a corner
roiManager("Reset");
function add(name) {
    roiManager("Add"); n = roiManager("Count") - 1;
    roiManager("Select", n); roiManager("Rename", name);
    run("Create Mask"); selectWindow("Mask"); saveAs("PNG", out + "mask_" + name + ".png"); close();
    selectWindow("p"); run("Select None");
}
makeRectangle(20, 5, 10, 8); add("rectangle");
makeOval(30, 20, 21, 14); add("oval");
makePolygon(5, 30, 20, 28, 25, 40, 8, 46); add("polygon");
makeSelection("freehand", newArray(40, 55, 58, 50, 41), newArray(3, 2, 12, 17, 14)); add("freehand");
doWand(5, 5, 0, "8-connected"); add("traced");
makeRectangle(30, 20, 30, 25); setKeyDown("alt"); makeRectangle(38, 26, 10, 10); setKeyDown("none"); add("hole");
makeOval(2, 20, 12, 10); setKeyDown("shift"); makeOval(20, 30, 17, 9); setKeyDown("none"); add("ovals");
makeRectangle(63, 47, 1, 1); add("pixel");
makeRectangle(0, 0, 64, 2); setKeyDown("shift"); makeRectangle(0, 0, 2, 48); setKeyDown("none"); add("border");
makePoint(9, 9); roiManager("Add"); 
makeLine(1, 1, 20, 20); roiManager("Add");
roiManager("Deselect");
roiManager("Save", out + "p_rois.zip");
