"""Experimental: questions to the public interface of the Allen Brain Atlas (api.brain-map.org).

Written after its documentation (help.brain-map.org, "Allen Brain Atlas API") and tested against a
local server that answers in the documented form; never run against the live service.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mrcnn.errors import UserError
from mrcnn.io.download import RETRIES, DownloadError, read_url

ADDRESS = "http://api.brain-map.org"
PAGE = 500  # rows a question
DEVELOPING, ADULT = "DevMouse", "Mouse"  # abbreviations of the products

_PLANES = ("coronal", "sagittal", "horizontal")
_RMA_SAFE = ":,$'*()[]/=&?"  # characters of the query language, sent as they are


@dataclass(frozen=True)
class Experiment:
    """A series of sections of one brain (the interface calls it SectionDataSet)."""

    id: int  # of the data set
    gene: str  # acronym, or "Nissl"
    age: str  # such as "P14"
    plane: str  # "coronal", "sagittal" or "horizontal"
    donor: str  # number of the animal


@dataclass(frozen=True)
class Place:
    """A point of an atlas image: its number, and (x, y) in its pixels at full resolution."""

    image_id: int
    x: float
    y: float


@dataclass(frozen=True)
class AllenApi:
    """The interface at an address.

    Questions raise DownloadError where there is no answer, or not one of the documented form, and
    a UserError that names what there is where nothing fits.
    """

    address: str = ADDRESS  # of the server, without /api/v2
    retries: int = RETRIES  # further tries of each question
    wait: Callable[[float], Any] = time.sleep  # called with the seconds to wait before another try
    page: int = PAGE  # rows asked for at once

    @property
    def base(self) -> str:
        """Beginning of all addresses."""
        return self.address.rstrip("/") + "/api/v2"

    def query(
        self, model: str, criteria: str = "", include: str = "", order: str = ""
    ) -> list[dict[str, Any]]:
        """All rows of a model, page after page (RESTful Model Access).

        Such as "SectionDataSet" with the criteria "[failed$eqfalse],products[id$eq3]", including
        "specimen(donor(age))", in the order of "sub_images.section_number".
        """
        parts = [f"model::{model}"]
        parts += [f"rma::criteria,{criteria}"] if criteria else []
        parts += [f"rma::include,{include}"] if include else []
        rows: dict[Any, dict[str, Any]] = {}
        start = 0
        order = f"[order$eq{order}]" if order else ""
        while True:
            options = f"rma::options[num_rows$eq{self.page}][start_row$eq{start}]{order}"
            text = quote(",".join([*parts, options]), safe=_RMA_SAFE)
            url = f"{self.base}/data/query.json?criteria={text}"
            answer = self._ask(url)
            page = answer["msg"]
            if not isinstance(page, list):
                raise DownloadError(f"{url}: the answer has no list of rows: {_short(page)}")
            rows |= {row.get("id", len(rows)): row for row in page}
            start += answer.get("num_rows") or len(page)
            total = answer.get("total_rows")
            if not page or not isinstance(total, int) or start >= total:
                return list(rows.values())

    def experiments(
        self, product: str, gene: str, ages: Sequence[str], plane: str
    ) -> list[Experiment]:
        """Series of a gene (or "Nissl") at some ages in a plane, those that failed left out."""
        if not re.fullmatch(r"[\w.\- ]+", gene):
            raise UserError(f"gene {gene!r}: wanted an acronym such as Gad1, or Nissl.")
        nissl = gene.lower() == "nissl"
        marker = "treatments[name$il'nissl']" if nissl else f"genes[acronym$il'{gene}']"
        rows = self.query(
            "SectionDataSet",
            f"[failed$eqfalse],products[abbreviation$eq'{product}'],{marker}",
            "genes,plane_of_section,specimen(donor(age))",
            "data_sets.id",
        )
        found = [_experiment(row, "Nissl" if nissl else gene) for row in rows]
        if not found:
            similar = "" if nissl else self._similar(product, gene)
            raise UserError(f"gene {gene!r}: nothing of it in {product}.{similar}")
        chosen = [e for e in found if e.age in ages and e.plane == plane]
        absent = [age for age in ages if age not in {e.age for e in chosen}]
        if absent:
            there = sorted({f"{e.age} {e.plane}" for e in found})
            raise UserError(
                f"gene {gene!r}, {product}: no {plane} sections at {', '.join(absent)}. There are: "
                f"{', '.join(there)}."
            )
        return sorted(chosen, key=lambda e: (ages.index(e.age), e.id))

    def section_images(self, experiment: int) -> list[dict[str, Any]]:
        """Images of a series in the order of the sections, those that failed left out.

        Each has id, section_number, width, height (px) and resolution (um a px).
        """
        rows = self.query(
            "SectionImage", f"[data_set_id$eq{experiment}]", order="sub_images.section_number"
        )
        rows = [row for row in rows if not row.get("failed")]
        for row in rows:
            _need(row, "SectionImage", "id", "section_number", "width", "height", "resolution")
        return sorted(rows, key=lambda row: row["section_number"])

    def atlas(self, product: str, age: str, plane: str, atlas_id: int | None = None) -> dict:
        """The reference atlas with an age in its name, or of a number.

        Its row has the id, the structure graph, and the labels of drawings. The plane is compared
        if the name has one.
        """
        rows = self.query("Atlas", include="structure_graph(ontology),graphic_group_labels")
        if atlas_id is not None:
            fits = [row for row in rows if row.get("id") == atlas_id]
        else:
            fits = [row for row in rows if _fits(row, product, age, plane)]
        if len(fits) != 1:
            names = "; ".join(f"{row.get('id')} {row.get('name')}" for row in fits or rows)
            wanted = f"number {atlas_id}" if atlas_id is not None else f"{age} {plane} ({product})"
            raise UserError(
                f"reference atlas {wanted}: {len(fits)} fit. "
                f"Choose one by its number (atlases={{'{age}': NUMBER}}), or download without "
                f"drawings (drawings=False). {'They are' if fits else 'There are'}: {names}."
            )
        _need(fits[0], "Atlas", "id", "structure_graph")
        return fits[0]

    def place(self, section_image: int, x: float, y: float, atlas: int) -> Place | None:
        """The point of the nearest annotated atlas image that belongs to a point of a section.

        The point is column x and row y, in pixels at full resolution. None where the service has no
        answer for it.
        """
        url = (
            f"{self.base}/image_to_atlas/{section_image}.json?x={x:.6f}&y={y:.6f}&atlas_id={atlas}"
        )
        try:
            answer = self._ask(url, must_succeed=False, retries=min(1, self.retries))
        except DownloadError as error:
            # How the service says that it knows no place for a point beside the tissue is not
            # documented; a refusal of one request is taken for that, a broken line is not.
            if error.code in (400, 404, 422, 500):
                return None
            raise
        for node in _nodes(answer.get("msg")):
            if {"section_image_id", "x", "y"} <= node.keys():
                return Place(int(node["section_image_id"]), float(node["x"]), float(node["y"]))
        return None

    def image_url(self, section_image: int, downsample: int) -> str:
        """Address of a section's JPEG, halved `downsample` times."""
        return f"{self.base}/section_image_download/{section_image}?downsample={downsample}"

    def svg_url(self, atlas_image: int, groups: Sequence[int]) -> str:
        """Address of the drawings of an atlas image, limited to some groups of labels."""
        limit = f"?groups={','.join(map(str, groups))}" if groups else ""
        return f"{self.base}/svg_download/{atlas_image}{limit}"

    def structures_url(self, graph: int) -> str:
        """Address of a structure graph as JSON."""
        return f"{self.base}/structure_graph_download/{graph}.json"

    def _similar(self, product: str, gene: str) -> str:
        rows = self.query("Gene", f"[acronym$il'{gene[:3]}*'],products[abbreviation$eq'{product}']")
        names = sorted({str(row.get("acronym")) for row in rows})[:20]
        return f" Genes that begin alike: {', '.join(names)}." if names else ""

    def _ask(
        self, url: str, must_succeed: bool = True, retries: int | None = None
    ) -> dict[str, Any]:
        body = read_url(url, self.retries if retries is None else retries, wait=self.wait)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise DownloadError(
                f"{url}: the answer is not JSON ({error}); it begins with "
                f"{_short(body.decode('utf-8', 'replace'))}. Try again later."
            ) from error
        if not isinstance(answer, dict) or "msg" not in answer:
            raise DownloadError(f"{url}: the answer has no 'msg': {_short(answer)}")
        if must_succeed and answer.get("success") is not True:
            raise DownloadError(f"{url}: the service refused: {_short(answer['msg'])}")
        return answer


def _experiment(row: Mapping[str, Any], gene: str) -> Experiment:
    _need(row, "SectionDataSet", "id", "specimen", "plane_of_section")
    donor = (row["specimen"] or {}).get("donor") or {}
    genes = row.get("genes") or [{}]
    return Experiment(
        id=int(row["id"]),
        gene="Nissl" if gene == "Nissl" else genes[0].get("acronym", gene),
        age=str((donor.get("age") or {}).get("name", "")),
        plane=str((row["plane_of_section"] or {}).get("name", "")).lower(),
        donor=str(donor.get("id", "")),
    )


def _fits(atlas: Mapping[str, Any], product: str, age: str, plane: str) -> bool:
    name = str(atlas.get("name"))
    graph = atlas.get("structure_graph") or {}
    words = re.findall(r"[\w.]+", name.lower())
    about = " ".join([name, str(graph.get("name")), str((graph.get("ontology") or {}).get("name"))])
    planes = [word for word in words if word in _PLANES]
    return (
        age.lower() in words
        and "human" not in words
        and (not planes or plane in planes)
        and ("develop" in about.lower()) == (product == DEVELOPING)
    )


def _need(row: Mapping[str, Any], model: str, *keys: str) -> None:
    missing = [key for key in keys if row.get(key) is None]
    if missing:
        raise DownloadError(
            f"{model} {row.get('id')}: the service gave no {', '.join(missing)}: {_short(row)}"
        )


def _nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every JSON object in a value, the outer ones first."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _nodes(inner)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 160 else text[:160] + " ...")
