// Regions of `sebre predict --format geojson`, corrected in QuPath (0.4 and later).
//
// Open a picture and run this script (Automate > Script editor, Run), or run it for a project.
//   load  brings its regions as annotations: those that were saved before, or else those of the
//         folder that `sebre predict` wrote to. It does so where the picture has no annotations.
//   save  writes its annotations to annotations/<picture>.geojson beside the picture, where
//         `sebre prepare qupath --raw <folder of the pictures>` reads them. It does so where the
//         picture has annotations.
// To correct a region, select it and change it (brush, wand); a new one gets the class of its
// region. Every annotation needs a class; remove one around all of the tissue.

def predictions = ""  // folder that `sebre predict` wrote to, to load from

def picture = new File(getCurrentServer().getURIs()[0])
def stem = picture.name.take(picture.name.lastIndexOf("."))
def folder = new File(picture.parentFile, "annotations")
def saved = new File(folder, stem + ".geojson")

def drawn = getAnnotationObjects()
if (drawn.isEmpty()) {
    def path = saved.exists() ? saved : new File(predictions, stem + ".geojson")
    if (!path.exists()) {
        println "${path}: no such file. Write above where sebre predict --format geojson wrote to."
        return
    }
    importObjectsFromFile(path.path)
    println "Loaded: ${path}"
} else {
    def bare = drawn.findAll { it.getPathClass() == null && !it.getName() }
    if (!bare.isEmpty()) {
        println "${bare.size()} annotation(s) without a class: nothing saved. Set it, or remove them."
        return
    }
    folder.mkdirs()
    exportObjectsToGeoJson(drawn, saved.path, "FEATURE_COLLECTION")
    println "Saved: ${saved}"
}
