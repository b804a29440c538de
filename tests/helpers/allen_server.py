"""The interface of the Allen Brain Atlas in the documented form, with a few small data sets."""

import io
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from local_server import LocalServer, Reply
from PIL import Image

WIDTH, HEIGHT = 640, 480  # of a section, in pixels of the scanner
DOWNSAMPLE = 2
# From a section's full resolution to the drawing.
TO_ATLAS = np.array([[1.1, -0.05, 30.0], [0.04, 0.95, 12.0]])

# Data set -> (product, gene or "", age, plane, donor).
DATA_SETS = {
    101: ("DevMouse", "Gad1", "P14", "sagittal", 7),
    102: ("DevMouse", "Gad1", "P4", "sagittal", 8),
    103: ("DevMouse", "Gad1", "P14", "coronal", 9),
    201: ("DevMouse", "Slc32a1", "P14", "sagittal", 7),
    202: ("DevMouse", "Slc32a1", "P14", "sagittal", 10),
    301: ("DevMouse", "", "P14", "sagittal", 11),
    401: ("Mouse", "Gad1", "P56", "coronal", 12),
}
ATLASES = {
    1: ("Mouse, P56, Coronal", 1, "Mouse Brain Atlas", "Atlas - Adult Mouse"),
    2: ("Mouse, P56, Sagittal", 1, "Mouse Brain Atlas", "Atlas - Adult Mouse"),
    3001: ("Developing Mouse, P14", 17, "Developing Mouse", "Atlas - Developing Mouse"),
    3002: ("Developing Mouse, P4", 17, "Developing Mouse", "Atlas - Developing Mouse"),
    3003: ("Human, 34 years", 10, "Human Brain Atlas", "Atlas - Human"),
}


def node(number: int, acronym: str, color: str = "AAAAAA", *children: dict) -> dict:
    return {
        "id": number,
        "acronym": acronym,
        "name": acronym,
        "color_hex_triplet": color,
        "children": list(children),
    }


TREE = node(
    15564,
    "NP",
    "D7DAD9",
    node(
        20,
        "TelA",
        "ED985C",
        node(21, "DPall", "F2193C", node(211, "DPall-m", "F3193C")),
        node(22, "MPall", "FF4865"),
        node(23, "CSPall", "E58724"),
    ),
    node(30, "D", "CCCCCC", node(31, "p2A", "FFED64"), node(32, "p3A", "FFF4A4")),
    node(40, "M", "17B317", node(41, "m1A", "17B317")),
    node(50, "PPH", "EE5DFF", node(51, "r1A", "EE5DFF"), node(52, "r2A", "EE7FFF")),
)
# Painted from first to last: structure -> (left, top, right, bottom) in the drawing. The layer
# 211 stands for its parent; 52 belongs to no region and covers a part of 41.
PAINTED = {
    20: (60, 40, 600, 440),
    211: (100, 60, 500, 120),
    22: (140, 130, 260, 200),
    23: (300, 150, 420, 260),
    31: (140, 220, 280, 300),
    32: (290, 280, 380, 340),
    41: (440, 200, 560, 300),
    52: (520, 200, 560, 300),
    51: (430, 320, 580, 420),
}
CLASS_OF = {20: 8, 211: 1, 22: 2, 23: 3, 31: 4, 32: 5, 41: 6, 51: 7}


def jpeg(number: int) -> bytes:
    image = Image.new("RGB", (WIDTH >> DOWNSAMPLE, HEIGHT >> DOWNSAMPLE), (240, 240, number % 256))
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


def svg() -> bytes:
    paths = "".join(
        f'<path structure_id="{i}" d="M{x0},{y0} L{x1},{y0} L{x1},{y1} L{x0},{y1} Z"/>'
        for i, (x0, y0, x1, y1) in PAINTED.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="600">{paths}</svg>'.encode()
    )


def envelope(msg: object, success: bool = True, start: int = 0, total: int = 1) -> Reply:
    rows = len(msg) if isinstance(msg, list) else 0
    answer = {"success": success, "id": 0, "start_row": start, "num_rows": rows}
    return Reply(json.dumps(answer | {"total_rows": total, "msg": msg}).encode())


class Allen:
    """Answers of the interface, for the tables above."""

    def __init__(self, server: LocalServer):
        server.routes["/api/v2/data/query.json"] = self.query
        for graph in (1, 17):
            server.routes[f"/api/v2/structure_graph_download/{graph}.json"] = envelope([TREE])
        for data_set in DATA_SETS:
            for image in self.images(data_set):
                number = image["id"]
                server.routes[f"/api/v2/section_image_download/{number}"] = Reply(jpeg(number))
                server.routes[f"/api/v2/image_to_atlas/{number}.json"] = self.place
        for plate in range(9000, 9010):
            server.routes[f"/api/v2/svg_download/{plate}"] = Reply(svg())

    def images(self, data_set: int) -> list[dict]:
        return [
            {
                "id": data_set * 10 + k,
                "section_number": 50 + 10 * k,
                "width": WIDTH,
                "height": HEIGHT,
                "resolution": 1.047,
                "failed": k == 3,
            }
            for k in (2, 0, 1, 3)
        ]

    def query(self, path: str) -> Reply:
        text = unquote(parse_qs(urlsplit(path).query)["criteria"][0])
        model = re.match(r"model::(\w+),", text)[1]
        rows = getattr(self, model)(text)
        start, count = (
            int(re.search(rf"\[{o}\$eq(\d+)\]", text)[1]) for o in ("start_row", "num_rows")
        )
        return envelope(rows[start : start + count], start=start, total=len(rows))

    def SectionDataSet(self, text: str) -> list[dict]:  # noqa: N802
        assert "[failed$eqfalse]" in text and "rma::include,genes," in text
        product = re.search(r"products\[abbreviation\$eq'(\w+)'\]", text)[1]
        gene = re.search(r"genes\[acronym\$il'([^']+)'\]", text)
        assert gene or "treatments[name$il'nissl']" in text
        wanted = gene[1].lower() if gene else ""
        return [
            {
                "id": number,
                "genes": [{"acronym": acronym}] if acronym else [],
                "plane_of_section": {"name": plane},
                "specimen": {"donor": {"id": donor, "age": {"name": age}}},
            }
            for number, (of, acronym, age, plane, donor) in DATA_SETS.items()
            if of == product and acronym.lower() == wanted
        ]

    def Gene(self, text: str) -> list[dict]:  # noqa: N802
        start = re.search(r"acronym\$il'(\w*)\*'", text)[1].lower()
        names = ["Gad1", "Gad2", "Slc32a1"]
        return [{"id": i, "acronym": n} for i, n in enumerate(names) if n.lower().startswith(start)]

    def SectionImage(self, text: str) -> list[dict]:  # noqa: N802
        return self.images(int(re.search(r"\[data_set_id\$eq(\d+)\]", text)[1]))

    def Atlas(self, text: str) -> list[dict]:  # noqa: N802
        assert "structure_graph(ontology),graphic_group_labels" in text
        return [
            {
                "id": number,
                "name": name,
                "structure_graph": {"id": graph, "name": about, "ontology": {"name": about}},
                "graphic_group_labels": [{"id": 31, "name": label}, {"id": 5, "name": "Hotspots"}],
            }
            for number, (name, graph, about, label) in ATLASES.items()
        ]

    def place(self, path: str) -> Reply:
        number = int(re.search(r"image_to_atlas/(\d+)", path)[1])
        asked = {key: float(v[0]) for key, v in parse_qs(urlsplit(path).query).items()}
        assert int(asked["atlas_id"]) in ATLASES
        if number == 1012:  # too few points are answered
            if asked["y"] > 0.6 * HEIGHT:
                return envelope("no location", success=False)
            if asked["y"] > 0.3 * HEIGHT:
                return Reply(status=500)
        x, y = TO_ATLAS @ [asked["x"], asked["y"], 1]
        plate = 9000 + number % 10
        if number == 1011 and asked["x"] < 0.3 * WIDTH:  # cut aslant: the next image, elsewhere
            plate, x, y = plate + 5, 0.0, 0.0
        found = {"section_data_set_id": 1, "section_image_id": plate, "section_number": 3}
        return envelope({"image_sync": found | {"x": float(x), "y": float(y)}})
