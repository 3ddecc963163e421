"""What the gateway's processes need to know, as one message that travels between them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from metier.gateway.settings import RouteSettings, ServeSettings, UpstreamSettings

# Below the store: what the workers write, and the ingester reads.
JOURNAL_FOLDER = "journal"


class Setup(BaseModel):
    """A project's settings as far as they concern the gateway. `root` is the project's folder, `store` its store's,
    `traffic_url` the database; `routes` are the tasks' own sections, `route` is for all others."""

    model_config = ConfigDict(frozen=True)

    root: Path
    store: Path
    traffic_url: str
    serve: ServeSettings = ServeSettings()
    route: RouteSettings = RouteSettings()
    routes: dict[str, RouteSettings] = {}
    upstreams: dict[str, UpstreamSettings] = {"openai": UpstreamSettings()}
    models: dict[str, tuple[str, ...]] = {}

    def route_of(self, task: str) -> RouteSettings:
        """[tasks.NAME.route], or [route]."""
        return self.routes.get(task, self.route)
