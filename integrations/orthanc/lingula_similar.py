"""A button "Similar cases" for Orthanc, by its Python plugin.

It sends the radiographs of one study to a lingula server, by that server's HTTP API and nothing else, and opens the
answer's page. Without the server, or with the plugin switched off, Orthanc works as ever: the button says that nobody
answered.

In Orthanc's configuration: ``"PythonScript": "/etc/orthanc/lingula_similar.py"`` and the Python plugin. In Orthanc's
environment:

    LINGULA_URL         where this machine reaches the server; http://127.0.0.1:8321 by default
    LINGULA_PUBLIC_URL  where the reader's browser reaches it; the same by default
    LINGULA_TOKEN       what the server asks for, if it does

For education and research. Not for diagnostic use.
"""

import html
import json
import os
import secrets
import urllib.error
import urllib.request

import orthanc

URL = os.environ.get("LINGULA_URL", "http://127.0.0.1:8321").rstrip("/")
PUBLIC_URL = os.environ.get("LINGULA_PUBLIC_URL", URL).rstrip("/")
TOKEN = os.environ.get("LINGULA_TOKEN", "")
MODALITIES = ("CR", "DX", "DR", "RG")
MOST_FILMS, SECONDS = 4, 60
DISCLAIMER = "For education and research. Not for diagnostic use."

BUTTON = """
$('#study').live('pagebeforecreate', function() {
  var button = $('<a>').attr('data-role', 'button').attr('data-icon', 'search').attr('data-theme', 'e')
    .text('Similar cases (lingula)');
  button.insertBefore($('#study-delete').parent().parent());
  button.click(function() {
    if ($.mobile.pageData) { window.open('../lingula/studies/' + $.mobile.pageData.uuid); }
  });
});
"""


def films(study):
    """The files of the radiographs of a study, by Orthanc's identifier; at most ``MOST_FILMS``."""
    found = []
    for series in json.loads(orthanc.RestApiGet(f"/studies/{study}/series")):
        if series["MainDicomTags"].get("Modality") in MODALITIES:
            found += [f"/instances/{instance}/file" for instance in series["Instances"]]
    return [orthanc.RestApiGet(path) for path in found[:MOST_FILMS]]


def multipart(files):
    """Body and content type of a form that holds files."""
    boundary = secrets.token_hex(16)
    parts = []
    for number, data in enumerate(files):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="film-{number}.dcm"\r\n\r\n'
        parts += [head.encode(), data, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def ask(files):
    """The page of the answer to these films."""
    body, kind = multipart(files)
    headers = {"Content-Type": kind, "X-Lingula": "1"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(URL + "/api/cases", body, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return f"{PUBLIC_URL}/case/{json.load(answer)['case_id']}"


def why(error):
    """What the server said of a refusal, in its own words."""
    try:
        return json.load(error)["message"]
    except Exception:
        return f"It answered {error.code}."


def similar(output, uri, **request):
    """GET /lingula/studies/{id}: go to the answer's page, or say why there is none."""
    if request["method"] != "GET":
        output.SendMethodNotAllowed("GET")
        return
    try:
        files = films(request["groups"][0])
        if files:
            output.Redirect(ask(files))
            return
        told = f"This study has no radiographs ({', '.join(MODALITIES)})."
    except urllib.error.HTTPError as error:
        told = "lingula refused the films. " + why(error)
    except OSError:
        told = "The lingula server did not answer."
    except Exception as error:
        told = f"The study could not be read ({type(error).__name__})."
    page = f"<!doctype html><title>Similar cases</title><p>{html.escape(told)}</p><p>{DISCLAIMER}</p>"
    output.AnswerBuffer(page, "text/html; charset=utf-8")


orthanc.RegisterRestCallback("/lingula/studies/([0-9a-f-]+)", similar)
orthanc.ExtendOrthancExplorer(BUTTON)
