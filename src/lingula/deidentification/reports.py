"""Reports without their patients: the one place that every report passes on its way into a library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lingula.errors import InputError, Notice
from lingula.labels.identifiers import Names
from lingula.reading.sandbox import Sandbox
from lingula.study import Study, unique_notices


def header_names(files: Iterable[Path], sandbox: Sandbox, *others: str) -> Names:
    """What the headers of these files, and others, say of persons; a file that cannot be read says nothing."""
    values = list(others)
    for file in files:
        try:
            values += sandbox.read_identifiers(file)
        except InputError:
            continue  # it is refused where its film is read
    return Names(values)


def without_identifiers(study: Study, names: Names) -> Study:
    """The study with names, numbers and dates masked in its report, and in what notices repeat of it."""
    if study.report is None:
        return study
    report, count = names.clean_report(study.report)
    notices = [
        replace(each, message=names.cleaned(each.message)[0]) if each.code == "report_language" else each
        for each in study.notices
    ]
    if count:
        what = "name, number or date was" if count == 1 else "names, numbers or dates were"
        notices.append(Notice("identifiers_removed", f"{count} {what} taken out of the report."))
    return replace(study, report=report, notices=unique_notices(notices))
