// Regions of `sebre predict --format geojson`, corrected in QuPath (0.4 and later).
//
// Open a picture and run this script (Automate > Script editor, Run), or run it for a project.
//   load  brings its regions as annotations: those that were saved before, or else those of the
//         folder that `sebre predict` wrote to. It does so where the picture has no annotations.
//         Pictures of one name in several folders have a number there (s1, s1-2): the file that
//         names this picture, its folder and its size is taken.
//   save  writes its annotations to annotations/<picture>.geojson beside the picture, where
//         `sebre prepare qupath --raw <folder of the pictures>` reads them. It does so where the
//         picture has annotations.
// To correct a region, select it and change it (brush, wand); a new one gets the class of its
// region. Every annotation needs a class; remove one around all of the tissue.

import groovy.json.JsonSlurper

def predictions = ""  // folder that `sebre predict` wrote to, to load from

def picture = new File(getCurrentServer().getURIs()[0])
def stem = picture.name.take(picture.name.lastIndexOf("."))
def folder = new File(picture.parentFile, "annotations")
def saved = new File(folder, stem + ".geojson")

def drawn = getAnnotationObjects()
if (drawn.isEmpty()) {
    def path = saved
    if (!path.exists()) {
        def own = picture.parentFile.name + "/" + picture.name
        def size = [getCurrentServer().getWidth(), getCurrentServer().getHeight()]
        def named = ~(java.util.regex.Pattern.quote(stem) + "(-[0-9]+)?[.]geojson")
        // A folder of brains has a folder of each.
        def folders = [new File(predictions)]
        folders.addAll(folders[0].listFiles()?.findAll { it.isDirectory() } ?: [])
        def files = folders.collectMany { it.listFiles()?.findAll { it.name ==~ named } ?: [] }
        if (files.isEmpty()) {
            println "${stem}.geojson: not in '${predictions}'. Write above where sebre predict --format geojson wrote to."
            return
        }
        path = files.find { new JsonSlurper().parse(it, "UTF-8").picture?.file == own }
        if (path == null) {
            println "${files}: of other pictures than ${own}; nothing loaded. Run sebre predict for this one, with --format geojson."
            return
        }
        def said = new JsonSlurper().parse(path, "UTF-8").picture
        if ([said.width, said.height] != size) {
            println "${path}: of a picture of ${said.width} x ${said.height} px, this one has ${size[0]} x ${size[1]}; nothing loaded."
            return
        }
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
