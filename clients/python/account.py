"""Signs in as a device of a user. Settings come from the environment, so that no secret appears in a process list."""

import json
import os
import urllib.error
import urllib.request
from urllib.parse import urlencode


def setting(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"{name} is not set")
    return value


class Account:
    """A signed-in user of a Supabase project: PostgREST with the standard library only."""

    def __init__(self) -> None:
        self._url = setting("SUPABASE_URL").rstrip("/")
        self._headers = {"apikey": setting("SUPABASE_PUBLISHABLE_KEY"), "Content-Type": "application/json"}
        credentials = {"email": setting("LEVI_EMAIL"), "password": setting("LEVI_PASSWORD")}
        answer = self._send("POST", "/auth/v1/token?grant_type=password", credentials)
        # The publishable key belongs in `apikey` only, the user's token in `Authorization` only.
        self._headers["Authorization"] = f"Bearer {answer['access_token']}"
        self.user_id: str = answer["user"]["id"]

    def select(self, table: str, **query: str) -> list[dict]:
        return self._send("GET", f"/rest/v1/{table}?{urlencode(query)}")

    def one(self, table: str, **query: str) -> dict | None:
        return next(iter(self.select(table, limit="1", **query)), None)

    def upsert(self, table: str, on_conflict: str, rows: list[dict]) -> None:
        prefer = {"Prefer": "resolution=merge-duplicates,return=minimal"}
        query = urlencode({"on_conflict": on_conflict, "columns": ",".join(rows[0])})
        self._send("POST", f"/rest/v1/{table}?{query}", rows, prefer)

    def _send(self, method: str, path: str, body: object = None, headers: dict | None = None):
        request = urllib.request.Request(
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode("utf-8"),
            headers=self._headers | (headers or {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{error.code} {error.read(300).decode('utf-8', 'replace')}") from None
        return json.loads(text) if text else None
