"""A cohort: a folder with participants.tsv and images.tsv, its splits and its pairs."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.tables.table import NOT_AVAILABLE, read_table

DIAGNOSES = ("healthy", "ssc", NOT_AVAILABLE)

PAPER_PATIENTS, PAPER_VALIDATION = 41, 13  # Section 2.4: 28 patients train, 13 validate
SMALLEST_SPLIT = 4  # with fewer patients both parts are the whole cohort


@dataclass(frozen=True)
class Scan:
    """One image of one participant.

    Attributes:
        participant: the participant's identifier.
        phase: for example "inhale".
        image: its file.
        mask: the lung mask's file.
        landmarks: the landmark table's file.
        columns: what else the table says, column → text.
    """

    participant: str
    phase: str
    image: Path
    mask: Path | None = None
    landmarks: Path | None = None
    columns: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        """Participant and phase, unique in a cohort."""
        return f"{self.participant}_{self.phase}"


ScanPair = tuple[Scan, Scan]  # fixed, moving


@dataclass(frozen=True)
class Cohort:
    """The participants and their scans.

    Attributes:
        root: the folder.
        participants: identifier → column → text; ``diagnosis`` is always there, one of DIAGNOSES.
        scans: in the order of images.tsv.
    """

    root: Path
    participants: dict[str, dict[str, str]]
    scans: list[Scan]

    def select(self, participants: Iterable[str]) -> Cohort:
        """The part of the cohort that belongs to some participants, in the cohort's order.

        Raises:
            InputError: a participant is not in the cohort.
        """
        wanted = set(participants)
        unknown = sorted(wanted - set(self.participants))
        if unknown:
            raise InputError(
                f"{self.root}: no participant {unknown[0]!r} in the cohort; "
                f"it has {', '.join(self.participants)}."
            )
        kept = {key: columns for key, columns in self.participants.items() if key in wanted}
        return replace(
            self, participants=kept, scans=[s for s in self.scans if s.participant in wanted]
        )


def load_cohort(root: str | os.PathLike[str]) -> Cohort:
    """Reads and checks ``participants.tsv`` and ``images.tsv``; the images are not opened.

    Raises:
        MissingFileError: the folder, a table, or a file that a table names does not exist.
        InputError: a table cannot be used: a doubled participant or scan, an identifier that is
            in one table only, an unknown diagnosis, fewer than two images.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingFileError(
            f"{root}: no such folder; a cohort's, with participants.tsv and images.tsv, is needed."
        )
    participants = _read_participants(root / "participants.tsv")
    scans = _read_scans(root / "images.tsv", participants)
    return Cohort(root, participants, scans)


def split_patients(
    cohort: Cohort, validation: int | None = None, seed: int = 0
) -> tuple[Cohort, Cohort]:
    """Splits by patient, never by image, with the diagnoses in proportion in both parts.

    The split depends on the identifiers and the seed alone, not on the order in the tables or on
    a library's random generator. With fewer than four patients both parts are the whole cohort.

    Args:
        cohort: what to split.
        validation: number of validation patients; by default the paper's share, 13 of 41.
        seed: chooses the patients.

    Returns:
        The training and the validation cohort.

    Raises:
        InputError: ``validation`` leaves no patient in one of the parts.
    """
    total = len(cohort.participants)
    if total < SMALLEST_SPLIT:
        return cohort, cohort
    if validation is None:
        validation = max(1, round(total * PAPER_VALIDATION / PAPER_PATIENTS))
    if not 1 <= validation < total:
        raise InputError(
            f"validation: 1 to {total - 1} of the {total} patients of {cohort.root} are needed, "
            f"not {validation}."
        )
    groups: dict[str, list[str]] = {}
    for participant in sorted(cohort.participants, key=lambda p: _random_key(p, seed)):
        diagnosis = cohort.participants[participant].get("diagnosis", NOT_AVAILABLE)
        groups.setdefault(diagnosis, []).append(participant)
    counts = _shares({group: len(members) for group, members in groups.items()}, validation)
    chosen = {member for group, members in groups.items() for member in members[: counts[group]]}
    return cohort.select(set(cohort.participants) - chosen), cohort.select(chosen)


def phase_pairs(cohort: Cohort, fixed: str = "inhale", moving: str = "exhale") -> list[ScanPair]:
    """One pair (fixed, moving) for every participant who has both phases.

    A cohort that knows neither "inhale" nor "exhale" and is asked for them has other names for
    its phases: then each participant's first listed scan is fixed, the second moving.

    Raises:
        InputError: no participant has both phases.
    """
    found = sorted({scan.phase for scan in cohort.scans})
    by_order = (fixed, moving) == ("inhale", "exhale") and not {fixed, moving} & set(found)
    pairs = []
    for participant in cohort.participants:
        scans = [scan for scan in cohort.scans if scan.participant == participant]
        by_phase = {scan.phase: scan for scan in scans}
        if by_order and len(scans) > 1:
            pairs.append((scans[0], scans[1]))
        elif fixed in by_phase and moving in by_phase:
            pairs.append((by_phase[fixed], by_phase[moving]))
    if not pairs:
        raise InputError(
            f"{cohort.root / 'images.tsv'}: no participant has both {fixed!r} and {moving!r}; "
            f"the phases found are {', '.join(found)}, one pair at least is needed."
        )
    return pairs


def all_combinations(
    cohort: Cohort, fixed: str = "inhale", moving: str = "exhale"
) -> list[ScanPair]:
    """Each patient's fixed phase with each patient's moving phase, n² pairs (Section 3.2).

    The n patients, and which scan is fixed, are those of :func:`phase_pairs`.
    """
    pairs = phase_pairs(cohort, fixed, moving)
    return list(itertools.product([f for f, _ in pairs], [m for _, m in pairs]))


def _read_participants(path: Path) -> dict[str, dict[str, str]]:
    participants: dict[str, dict[str, str]] = {}
    for row in read_table(path, ("participant_id",)):
        participant = _identifier(path, row, "participant_id")
        if participant in participants:
            raise InputError(f"{path}: the participant {participant!r} appears twice, not once.")
        diagnosis = _cell(row, "diagnosis") or NOT_AVAILABLE
        if diagnosis not in DIAGNOSES:
            raise InputError(
                f"{path}: {participant!r} has the diagnosis {diagnosis!r}; "
                f"one of {', '.join(DIAGNOSES)} is needed."
            )
        columns = {key: value for key, value in row.items() if key != "participant_id"}
        participants[participant] = {**columns, "diagnosis": diagnosis}
    return participants


def _read_scans(path: Path, participants: dict[str, dict[str, str]]) -> list[Scan]:
    scans = [_scan(path, row) for row in read_table(path, ("participant_id", "phase", "image"))]
    seen = set()
    for scan in scans:
        if (scan.participant, scan.phase) in seen:
            raise InputError(
                f"{path}: participant {scan.participant!r} has two images of the phase "
                f"{scan.phase!r}; one is needed."
            )
        seen.add((scan.participant, scan.phase))
    listed = {scan.participant for scan in scans}
    unmatched = sorted(listed - set(participants)) + sorted(set(participants) - listed)
    for participant in unmatched:
        without, having = path.parent / "participants.tsv", path
        if participant in participants:
            without, having = having, without
        raise InputError(
            f"{without}: no row for the participant {participant!r} of {having.name}; "
            "both tables need every participant."
        )
    if len(scans) < 2:
        raise InputError(f"{path}: the cohort has one image; at least two are needed.")
    return scans


def _scan(path: Path, row: dict[str, str]) -> Scan:
    participant, phase = _identifier(path, row, "participant_id"), _identifier(path, row, "phase")
    files = {}
    for column in ("image", "mask", "landmarks"):
        cell = _cell(row, column)
        files[column] = path.parent / cell if cell else None
        if cell and not files[column].exists():
            raise MissingFileError(
                f"{files[column]}: no such file; {path} names it as the {column} of "
                f"{participant!r}, {phase!r}."
            )
    if files["image"] is None:
        raise InputError(f"{path}: no image for {participant!r}, {phase!r}; a file is needed.")
    known = ("participant_id", "phase", *files)
    columns = {key: value for key, value in row.items() if key not in known}
    return Scan(participant, phase, columns=columns, **files)


def _cell(row: dict[str, str], column: str) -> str:
    """The cell's text, empty when the table says that there is none."""
    value = row.get(column, "")
    return "" if value.lower() == NOT_AVAILABLE else value


def _identifier(path: Path, row: dict[str, str], column: str) -> str:
    value = _cell(row, column)
    if not value or any(mark in value for mark in "/\\"):  # it becomes part of file names
        raise InputError(
            f"{path}: {column} {row[column]!r} in {row}; a text without slashes is needed."
        )
    return value


def _random_key(participant: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{participant}".encode()).hexdigest()


def _shares(sizes: dict[str, int], total: int) -> dict[str, int]:
    """How many of each group make ``total``, in proportion, leaving one member if possible."""
    counts = dict.fromkeys(sizes, 0)

    def need(group: str) -> tuple[bool, bool, bool, float]:
        leaves_one = counts[group] < sizes[group] - 1
        due = sizes[group] * total / sum(sizes.values()) - counts[group]
        return counts[group] < sizes[group], leaves_one, counts[group] == 0, due

    for _ in range(total):
        counts[max(sorted(sizes), key=need)] += 1
    return counts
