"""Do these films belong to one study? By their identifiers; without any, by what one study is likely to have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lingula.errors import InputError, Notice
from lingula.reading.dicom.dicom_file import DicomFile

MOST_OF_A_VIEW = 2
_ONE_BY_ONE = "Give the studies one by one"
_VOUCH = f"{_ONE_BY_ONE}; if they are one study, say so (--same-study, same_study=True)."
_ASSUMED = Notice(
    "one_study_assumed", "Nothing in the films says that they are of one patient; they were read as one study."
)


def one_study(images: Sequence[DicomFile], *, same_study: bool = False) -> tuple[str, tuple[Notice, ...]]:
    """The Study Instance UID that images share, "" when none has one; and one_study_assumed where they do not say so.

    Args:
        same_study: somebody vouches for it; identifiers that differ are refused all the same.

    Raises:
        InputError: uid_conflict for several studies, or one SOP Instance UID of different files; several_studies for
            several patients, and, where nobody vouches, for more than ``MOST_OF_A_VIEW`` films of one view or for films
            without an identifier that are not a frontal and a lateral one.
    """
    studies = {image.study_uid for image in images if image.study_uid}
    if len(studies) > 1:
        raise InputError("uid_conflict", f"the images belong to {len(studies)} studies", f"{_ONE_BY_ONE}.")
    digests: dict[str, str] = {}
    for image in images:
        radiograph = image.radiograph
        if image.study_uid and digests.setdefault(radiograph.image_id, radiograph.digest) != radiograph.digest:
            raise InputError("uid_conflict", "two different files have the same SOP Instance UID")
    for people in ({image.patient for image in images}, {image.radiograph.birth_date for image in images}):
        if len(people - {""}) > 1:
            raise InputError("several_studies", f"the images name {len(people - {''})} patients", f"{_ONE_BY_ONE}.")
    films = list({image.radiograph.digest: image for image in images}.values())
    unnamed = sum(not film.study_uid for film in films)
    if same_study or len(films) == 1 or (not unnamed and len(films) <= MOST_OF_A_VIEW):
        return next(iter(studies), ""), ()
    views = _views(films)
    if not unnamed:
        view, count = views.most_common(1)[0]
        if count > MOST_OF_A_VIEW:
            raise InputError("several_studies", f"{count} films with view {view} in one study", _VOUCH)
        return next(iter(studies)), ()
    if len(films) > 2 or set(views) != {"frontal", "lateral"}:
        raise InputError(
            "several_studies", f"{len(films)} films, and nothing says that they are of one patient", _VOUCH
        )
    return next(iter(studies), ""), (_ASSUMED,)


def _views(films: Sequence[DicomFile]) -> Counter[str]:
    from lingula.reading.view_classifier import ViewClassifier  # not needed for one film, which is the usual case

    classifier = ViewClassifier.shipped()
    return Counter(classifier.annotate(film.radiograph).view for film in films)
