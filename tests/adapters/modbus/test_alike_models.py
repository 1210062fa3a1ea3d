"""Which wrong models are believed: the probes of each against the registers of every other.

The registers of a model are those of its recorded exchange. What that does not show reads as zero,
or is refused: a pair counts as alike when either is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.profile import Probe, Profile
from adapters.modbus.profile_files import load_profiles
from tests.adapters.frames.replay import FRAMES, exchanges

PROFILES = load_profiles()
DOCS = Path(__file__).parents[3] / "docs" / "meter-models.md"
EXCHANGES = sorted(path for path in FRAMES.glob("*/readings*.frames"))
TABLES = {3: Table.HOLDING, 4: Table.INPUT}
# Both functions read the same registers.
ONE_TABLE = "carlo-gavazzi-"

# Who is declared, and who may stand there and be believed.
ALIKE = {
    "carlo-gavazzi-em340": {"carlo-gavazzi-em24-e1"},
    "eastron-sdm120": {"eastron-sdm230"},
    "eastron-sdm230": {"eastron-sdm120"},
    "eastron-sdm72": {"eastron-sdm630"},
}


@dataclass(frozen=True)
class Image:
    """The registers of a meter, as its exchange showed them."""

    model: str
    words: Mapping[tuple[Table, int], int]
    elsewhere: int | None

    def fits(self, probe: Probe) -> bool:
        words = [
            self.words.get((probe.table, at), self.elsewhere)
            for at in range(probe.span.start, probe.span.end)
        ]
        told = tuple(word for word in words if word is not None)
        refused = len(told) < len(words)
        if probe.may_be_absent if refused else probe.fits(told):
            return True
        return probe.otherwise is not None and self.fits(probe.otherwise)

    def believed_as(self, profile: Profile) -> bool:
        if not all(self.fits(probe) for probe in profile.probes):
            return False
        return not profile.variants or any(
            all(self.fits(probe) for probe in variant.probes) for variant in profile.variants
        )


def image_of(path: Path, elsewhere: int | None) -> Image:
    model = path.parent.name
    words: dict[tuple[Table, int], int] = {}
    # What it has, but need not be asked for, stands in another exchange.
    others = [path.with_name("absent.frames")] if path.with_name("absent.frames").exists() else []
    for sent, came in (
        each for one in (*others, path) for each in exchanges(f"{model}/{one.stem}")
    ):
        if sent[1] not in TABLES or came[1] != sent[1]:
            continue
        tables = list(Table) if model.startswith(ONE_TABLE) else [TABLES[sent[1]]]
        start = int.from_bytes(sent[2:4])
        for at in range(came[2] // 2):
            word = int.from_bytes(came[3 + 2 * at : 5 + 2 * at])
            words |= {(table, start + at): word for table in tables}
    return Image(model, words, elsewhere)


IMAGES = [image_of(path, elsewhere) for path in EXCHANGES for elsewhere in (None, 0)]


def mistaken() -> dict[str, set[str]]:
    pairs: dict[str, set[str]] = {}
    for name, profile in PROFILES.items():
        found = {image.model for image in IMAGES if image.believed_as(profile)} - {name}
        if found:
            pairs[name] = found
    return pairs


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.model}-{image.elsewhere}")
def test_every_model_is_believed_as_itself(image: Image):
    known = next(profile for name, profile in PROFILES.items() if name == image.model)
    assert image.believed_as(known)


def test_no_other_pair_of_models_is_alike():
    assert mistaken() == ALIKE


def test_nobody_is_what_answers_zeros_only():
    zeros = Image("zeros", {}, elsewhere=0)
    assert [name for name, profile in PROFILES.items() if zeros.believed_as(profile)] == []


def test_the_documentation_names_every_pair_that_is_alike():
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    told = {
        row.split("|")[1].strip(" `"): {name.strip(" `") for name in row.split("|")[2].split(",")}
        for row in rows
    }
    assert told == ALIKE
