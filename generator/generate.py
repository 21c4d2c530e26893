"""Turn openapi.yaml into generated/, or report which files there are outdated."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spec_diff import parsed
from stock_templates import MovedText, write_edited

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "synapse_agent_api"
NODE_MODULES = ROOT / "node_modules"
SWAGGER_UI = ("swagger-ui-bundle.js", "swagger-ui.css", "LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")
"""The files of swagger-ui-dist for the reference page, and the files that its license requires."""
BUNDLED = ("preact", "openapi-fetch")
"""The packages in the bundle of the agent's page, whose licenses are added."""
HEADER = "# By `make generate`. Don't edit.\n\n"
SCHEMAS = "#/components/schemas/"
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, or check the generated files; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, name the files that differ")
    check = parser.parse_args(arguments).check
    # Beside generated/, so that the finished folder can be renamed to it.
    with TemporaryDirectory(prefix=".generating-", dir=ROOT) as scratch:
        fresh = Path(scratch, "fresh")
        generate(fresh, templates=Path(scratch, "templates"))
        if check:
            return report(differing(fresh, ROOT / "generated"))
        swap(fresh, ROOT / "generated", old=Path(scratch, "old"))
    return 0


def generate(folder: Path, *, templates: Path) -> None:
    """Write the contract's output into a new folder; `templates` is another one to work in."""
    contract = parsed((ROOT / "openapi.yaml").read_bytes())
    package = folder / PACKAGE
    lay_out_templates(templates)
    package.mkdir(parents=True)
    plain = with_plain_objects(contract)
    for profile, part in (("typed-dicts", plain), ("schemas", of_requests(plain))):
        (templates / profile).mkdir()
        (templates / profile / "openapi.yaml").write_text(json.dumps(part), encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda command: run(command, ROOT), generators(folder, templates)))
    require_operations(contract, package)
    shutil.copytree(ROOT / "generator" / "static", package, dirs_exist_ok=True)
    for name in SWAGGER_UI:
        shutil.copy(NODE_MODULES / "swagger-ui-dist" / name, package / "reference")
    shutil.copy(ROOT / "web" / "index.html", package / "page")
    for library in BUNDLED:
        shutil.copy(NODE_MODULES / library / "LICENSE", package / "page" / f"LICENSE-{library}")
    shutil.copy(ROOT / "openapi.yaml", package)
    compact = json.dumps(contract, ensure_ascii=False, separators=(",", ":"))
    (package / "openapi.json").write_text(compact + "\n", encoding="utf-8")
    tidy(package)


def lay_out_templates(templates: Path) -> None:
    """Copy our templates into the generator's folder, beside the stock ones with our edits."""
    shutil.copytree(ROOT / "generator" / "templates", templates)
    stock = distribution("openapi-python-client").locate_file("openapi_python_client/templates")
    try:
        write_edited(Path(str(stock)), templates)
    except MovedText as moved:
        raise SystemExit(f"{moved} generated/ is unchanged.") from moved


def with_plain_objects(part: Any) -> Any:
    """Return a contract for datamodel-code-generator, with `{}` as the further properties of free-form objects.

    It makes a dict of these, but a class of `true`. The contract has `true`, which means the same, since OpenAPI
    Generator makes a plain map of it in Go.
    """
    if isinstance(part, list):
        return [with_plain_objects(item) for item in part]
    if not isinstance(part, dict):
        return part
    is_free_form = part.get("additionalProperties") is True and "properties" not in part
    copy = {key: with_plain_objects(value) for key, value in part.items()}
    return copy | {"additionalProperties": {}} if is_free_form else copy


def of_requests(contract: dict[str, Any]) -> dict[str, Any]:
    """Return a contract with only the schemas of requests: an agent checks nothing else, and each slows its start."""
    components = contract.get("components", {})
    schemas = components.get("schemas", {})
    waiting = {*references(without_responses([contract["paths"], components.get("parameters")]))}
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting |= {*references(schemas[name])} - kept
    return {**contract, "paths": {}, "components": {"schemas": {n: each for n, each in schemas.items() if n in kept}}}


def without_responses(part: Any) -> Any:
    """Return a part of the contract without the responses of its operations."""
    if isinstance(part, list):
        return [without_responses(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {key: without_responses(value) for key, value in part.items() if key != "responses"}


def references(part: Any) -> Iterator[str]:
    """Yield the names of the schemas to which a part of the contract refers."""
    if isinstance(part, dict) and str(part.get("$ref", "")).startswith(SCHEMAS):
        yield part["$ref"].removeprefix(SCHEMAS)
    elif isinstance(part, dict | list):
        for each in part.values() if isinstance(part, dict) else part:
            yield from references(each)


def generators(folder: Path, templates: Path) -> Iterator[list[str | Path]]:
    """The commands that write into the folder, and are independent of each other."""
    package = folder / PACKAGE
    yield [
        *("openapi-python-client", "generate", "--path", "openapi.yaml", "--config", "generator_config.yml"),
        *("--meta", "none", "--overwrite", "--fail-on-warning"),
        *("--custom-template-path", templates, "--output-path", package),
    ]
    for profile, module in (("typed-dicts", "typed_dicts.py"), ("schemas", "schemas.py")):
        read = ("--input", templates / profile / "openapi.yaml")
        yield ["datamodel-codegen", "--profile", profile, *read, "--output", package / module]
    yield [
        *(NODE_MODULES / ".bin" / "openapi-typescript", "openapi.yaml"),
        *("--redocly", "generator/openapi_typescript.yaml"),
        *("--output", folder / "typescript" / "schema.d.ts"),
    ]
    yield [
        *(NODE_MODULES / ".bin" / "esbuild", "page=web/src/main.tsx", "--bundle", "--minify", "--format=esm"),
        *("--target=es2022", "--jsx=automatic", "--jsx-import-source=preact", "--log-level=warning"),
        *("--legal-comments=none", f"--outdir={package / 'page'}"),
    ]


def tidy(package: Path) -> None:
    """Mark the package's modules as generated and format them, with the same result in any folder."""
    for module in package.rglob("*.py"):
        module.write_text(HEADER + module.read_text(encoding="utf-8"), encoding="utf-8")
    isolated = ["--isolated", "--no-cache", "--line-length", "120", "--target-version", "py311", "."]
    run(["ruff", "check", "--fix-only", "--quiet", "--select", "F,I,UP", *isolated], package)
    run(["ruff", "format", "--quiet", *isolated], package)


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run one of the environment's tools in a folder; if it fails, exit with its output."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} failed; generated/ is unchanged.\n{result.stdout}{result.stderr}")


def require_operations(contract: dict[str, Any], package: Path) -> None:
    """Check that each operation has its module: of two names with the same module, the generator silently drops one."""
    operations = [
        operation
        for path_item in contract["paths"].values()
        for method, operation in path_item.items()
        if method in METHODS
    ]
    wanted = sorted(f"{operation['operationId']}.py" for operation in operations)
    written = sorted(module.name for module in package.glob("api/*/*.py") if module.name != "__init__.py")
    if wanted != written:
        raise SystemExit(f"Each operationId must be snake_case and differ from all others: {wanted} became {written}")


def differing(fresh: Path, committed: Path) -> list[str]:
    """Names of the files that only one of the folders has, or that differ."""
    new, old = files(fresh), files(committed)
    return sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))


def files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by name, except bytecode."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def report(names: Sequence[str]) -> int:
    """Report outdated files; return the exit code."""
    for name in names:
        print(f"generated/{name} does not match openapi.yaml: run `make generate`.", file=sys.stderr)
    return 1 if names else 0


def swap(fresh: Path, current: Path, *, old: Path) -> None:
    """Put a finished folder in another's place."""
    if current.exists():
        current.rename(old)
    fresh.rename(current)


if __name__ == "__main__":
    sys.exit(main())
