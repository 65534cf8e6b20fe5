"""A stand-in for the Hugging Face Hub: a local server with the routes of loading and uploading.

It serves what a test puts into it, to real `datasets`, `transformers` and `huggingface_hub`, which
find it through the variable `HF_ENDPOINT`. They read that at import, so use a child process:

    with LocalHub() as hub:
        hub.add("owner/name", {"train.jsonl": b"..."})
        subprocess.run([sys.executable, "-c", "..."], env={**os.environ, **hub.environment(folder)})
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

RepoType = Literal["dataset", "model"]
_DATE = "2025-01-01T00:00:00.000Z"


@dataclass
class Repository:
    """A repository: its revisions, each with all its files."""

    repo_type: RepoType
    repo_id: str
    gated: bool = False
    private: bool = False
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, revision: str) -> str:
        """Return the commit hash of a revision: 40 digits made from its files."""
        listing = sorted((path, _oid(data)) for path, data in self.revisions[revision].items())
        return hashlib.sha1(repr((self.repo_id, listing)).encode()).hexdigest()

    def revision_at(self, path: str) -> tuple[str, str] | None:
        """Split `revision/rest` into a revision of this repository, or its commit, and the rest."""
        for revision in self.revisions:
            for name in (revision, self.commit(revision)):
                if path == name or path.startswith(f"{name}/"):
                    return revision, path[len(name) + 1 :]
        return None


class LocalHub:
    """The server; a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[RepoType, str], Repository] = {}
        self.requests: list[str] = []
        """`METHOD /path` of each request, in order."""
        self.owners = {"hf_standin": "me"}
        """Token to the account whose repositories it may write."""
        self.answers: dict[str, int] = {}
        """Part of a path to the status that a request for such a path is answered with; with 0 the
        connection is closed without an answer."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """The server's address, for `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables that send a child process here, with `home` as its only cache."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def add(
        self,
        repo_id: str,
        files: dict[str, bytes],
        *,
        repo_type: RepoType = "dataset",
        revision: str = "main",
        gated: bool = False,
    ) -> None:
        """Serve `files` (path to content) as a revision of a repository."""
        key = (repo_type, repo_id)
        repository = self.repositories.setdefault(key, Repository(repo_type, repo_id, gated))
        repository.revisions[revision] = dict(files)

    def add_folder(self, repo_id: str, folder: Path, *, repo_type: RepoType = "model") -> None:
        """Serve a folder, such as one written by `save_pretrained`, as a repository."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.add(repo_id, files, repo_type=repo_type)

    def __enter__(self) -> LocalHub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            path = unquote(url.path)
            hub.requests.append(f"{self.command} {path}")
            status = next((s for part, s in hub.answers.items() if part in path), None)
            if status == 0:
                self.close_connection = True
                return
            if status is not None:
                self._error(status, "", f"answered with {status}")
                return
            if path == "/api/repos/create":
                self._create(json.loads(body))
                return
            if path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
                return
            is_api = path.startswith("/api/")
            path = path.removeprefix("/api").lstrip("/")
            repo_type: RepoType = "dataset" if path.startswith("datasets/") else "model"
            path = path.removeprefix("datasets/").removeprefix("models/" if is_api else "")
            repository, rest = self._repository(repo_type, path)
            if repository is None:
                self._error(404, "RepoNotFound", "Repository not found")
            elif repository.gated and not self.headers.get("Authorization") and rest:
                self._error(401, "GatedRepo", "Access to this repository is restricted")
            elif is_api:
                self._api(repository, rest, parse_qs(url.query), body)
            else:
                self._resolve(repository, rest)

        def _repository(self, repo_type: RepoType, path: str) -> tuple[Repository | None, str]:
            for (kind, repo_id), repository in hub.repositories.items():
                if kind == repo_type and (path == repo_id or path.startswith(f"{repo_id}/")):
                    return repository, path[len(repo_id) + 1 :]
            return None, ""

        def _account(self) -> str | None:
            return hub.owners.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

        def _create(self, asked: dict[str, str]) -> None:
            owner = asked.get("organization") or self._account()
            if self._account() is None:
                self._error(401, "", "Invalid username or password.")
            elif owner != self._account():
                self._error(403, "", "You don't have the rights to create a model there")
            else:
                repo_id = f"{owner}/{asked['name']}"
                is_new = ("model", repo_id) not in hub.repositories
                if is_new:
                    hub.add(repo_id, {}, repo_type="model")
                    private = asked.get("visibility") == "private"
                    hub.repositories["model", repo_id].private = private
                url = {"url": f"{hub.endpoint}/{repo_id}"}
                self._json(url, 200 if is_new else 409)

        def _commit(self, repository: Repository, revision: str, body: bytes) -> None:
            if repository.repo_id.partition("/")[0] != self._account():
                self._error(403, "", "You don't have the rights to write there")
                return
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    repository.revisions[revision][entry["value"]["path"]] = content
            commit = repository.commit(revision)
            url = f"{hub.endpoint}/{repository.repo_id}/commit/{commit}"
            self._json({"commitUrl": url, "commitOid": commit})

        def _api(
            self, repository: Repository, rest: str, query: dict[str, list[str]], body: bytes
        ) -> None:
            verb, _, argument = (rest or "revision/main").partition("/")
            found = repository.revision_at(argument)
            if found is None:
                self._error(404, "RevisionNotFound", "Invalid rev id")
                return
            revision, path = found
            files = repository.revisions[revision]
            if verb == "revision":
                self._json(_info(repository, revision))
            elif verb == "tree":
                recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
                entries = _tree(files, path, recursive=recursive)
                if entries or not path:
                    self._json(entries)
                else:
                    self._error(404, "EntryNotFound", "Entry not found")
            elif verb == "preupload":
                asked = [file["path"] for file in json.loads(body)["files"]]
                modes = {"uploadMode": "regular", "shouldIgnore": False}
                self._json({"files": [{"path": name, **modes} for name in asked]})
            elif verb == "commit":
                self._commit(repository, revision, body)
            elif verb == "paths-info":
                wanted = _wanted_paths(body, self.headers.get("Content-Type", ""))
                everything = _tree(files, "", recursive=True)
                self._json([entry for entry in everything if entry["path"] in wanted])
            else:
                self._error(404, "EntryNotFound", "Not served by the stand-in")

        def _resolve(self, repository: Repository, rest: str) -> None:
            verb, _, argument = rest.partition("/")
            found = repository.revision_at(argument) if verb == "resolve" else None
            if found is None:
                self._error(404, "RevisionNotFound", "Invalid rev id")
                return
            revision, path = found
            commit = {"X-Repo-Commit": repository.commit(revision)}
            data = repository.revisions[revision].get(path)
            if data is None:
                self._error(404, "EntryNotFound", "Entry not found", commit)
                return
            headers = commit | {
                "ETag": f'"{_oid(data)}"',
                "Accept-Ranges": "bytes",
                "Content-Type": "application/octet-stream",
            }
            part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if part is None:
                self._send(200, data, headers)
                return
            start, end = int(part[1]), min(int(part[2] or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            self._send(206, data[start : end + 1], headers)

        def _json(self, value: object, status: int = 200) -> None:
            self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def _error(
            self, status: int, code: str, message: str, headers: dict[str, str] | None = None
        ) -> None:
            reported = {"X-Error-Code": code, "X-Error-Message": message}
            self._send(status, json.dumps({"error": message}).encode(), reported | (headers or {}))

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _info(repository: Repository, revision: str) -> dict[str, object]:
    return {
        "_id": hashlib.sha1(repository.repo_id.encode()).hexdigest()[:24],
        "id": repository.repo_id,
        "sha": repository.commit(revision),
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "disabled": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "siblings": [{"rfilename": path} for path in repository.revisions[revision]],
    }


def _tree(files: dict[str, bytes], folder: str, *, recursive: bool) -> list[dict[str, object]]:
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, object]] = {}
    for path, data in sorted(files.items()):
        if not path.startswith(prefix):
            continue
        inner = path.removeprefix(prefix).split("/")
        for depth in range(1, len(inner) if recursive else min(2, len(inner))):
            name = prefix + "/".join(inner[:depth])
            oid = _oid(name.encode())
            entries[name] = {"type": "directory", "oid": oid, "path": name, "size": 0}
        if recursive or len(inner) == 1:
            entries[path] = {"type": "file", "oid": _oid(data), "path": path, "size": len(data)}
    return list(entries.values())


def _wanted_paths(body: bytes, content_type: str) -> list[str]:
    if "json" in content_type:
        paths = json.loads(body)["paths"]
        return [paths] if isinstance(paths, str) else list(paths)
    return parse_qs(body.decode())["paths"]
