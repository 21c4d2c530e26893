"""The blocks that the tests of the pages do not run, each with the reason; all others are run or parsed."""

from __future__ import annotations

RUN_ELSEWHERE = {
    "CONTRIBUTING.md": "tests/docs/test_contributing.py makes the changes that it describes, in a copy.",
    "docs/sharing-the-contract.md": "tests/docs/test_sharing.py runs every section, in the order of the page.",
    "docs/tutorial.md": "tests/docs/test_tutorial.py runs every step, on two homes.",
}
"""Pages whose blocks another test runs."""

NOT_RUN = {
    (
        "README.md",
        "make demo   # sets everything up, then fetches, runs, debugs and deletes real plugins on an agent of its own",
    ): ("The second line runs this very test; tests/examples/test_demo.py runs the demo."),
    ("README.md", "pip install '.[agent,cli]' ./distributions/agent   # the client, the agent and the command line"): (
        "Changes the environment that these tests run in. test_distribution.py installs the wheel with each extra."
    ),
    ("README.md", "make dist"): ("tests/test_distribution.py builds both wheels, and runs the demo by uvx."),
    ("examples/README.md", "make setup"): (
        "tests/conformance/test_typescript.py compiles the client, and runs it against the cases."
    ),
    ("docs/guides/backend.md", "GET /api/plugin_releases/my_plugin%401.0.0/"): (
        "A request, no command. The backend at the end of the page answers it, and refuses it without that header."
    ),
    (
        "docs/guides/backend.md",
        "Downloading 'my_plugin@1.0.0' from https://storage.example.com: 104857600 of 524288000 bytes (20 %)",
    ): ("A line of a log. tests/synapse_agent/plugins/backend/test_source.py waits for one."),
    ("docs/guides/cluster.md", "# in a clone: the package is not on an index yet"): (
        "Changes the environment that these tests run in, which has all of it."
    ),
    ("docs/guides/cluster.md", "# on the first host, 10.0.0.5"): (
        "Needs two hosts. examples/local_cluster.py, which all tests of the runner use, starts similar ones."
    ),
    (
        "docs/guides/cluster.md",
        "synapse-agent serve --plugins examples/plugins --runner ray --ray-address 10.0.0.5:6379",
    ): "Needs that cluster. tests/synapse_agent/runner/ray_cluster/test_endings.py serves on one of its own.",
    ("docs/start.md", "ready http://127.0.0.1:8000"): "What the agent above prints; its test waits for it.",
    (
        "docs/guides/team.md",
        "useradd --system --home-dir /var/lib/synapse-agent --shell /usr/sbin/nologin synapse-agent",
    ): ("Changes the machine. tests/test_distribution.py installs the wheel with these extras."),
    ("docs/guides/team.md", "mkdir -p plugins/clock"): "tests/docs/test_team.py types it, on a port of its own.",
    (
        "docs/design/lasting-jobs.md",
        "keepers/NAME/           locked by the keeper for as long as it lives",
    ): "A drawing of a folder.",
    ("docs/guides/team.md", "make dist"): (
        "Needs a Docker daemon. tests/examples/test_dockerfile.py runs the image's command and its health check."
    ),
    (
        "docs/guides/team.md",
        '/opt/synapse-agent/bin/pip install --upgrade --find-links . "$(ls synapse_agent_client-*.whl)[agent,cli]"',
    ): ("Changes the machine. tests/test_distribution.py installs the wheel with these extras."),
    (
        "docs/guides/team.md",
        "synapse-agent backup --url http://127.0.0.1:8000 --token-file /etc/synapse-agent/token",
    ): "tests/docs/test_team.py backs an agent up with it, and restores it.",
    ("docs/guides/team.md", "mkdir --mode 700 restored"): "tests/docs/test_team.py restores an agent with it.",
    ("docs/guides/team.md", "systemctl daemon-reload"): "Needs a systemd that runs; test_team.py has it read the unit.",
    ("docs/guides/team.md", "server {"): "tests/docs/test_team.py runs nginx with it.",
    ("docs/guides/team.md", "agent.example.com {"): "tests/docs/test_team.py runs Caddy with it.",
    ("docs/guides/page.md", "synapse-agent open"): "docs/reference/cli.md runs it, with an agent.",
    ("docs/guides/write-a-plugin.md", "shapes/"): "A drawing of a folder.",
}
"""Single blocks, by page and title or first line."""
