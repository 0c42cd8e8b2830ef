"""The container files keep their promises, as far as that can be seen without a Docker engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from backend.cli import main
from backend.engines.factory import make_engine
from backend.settings import PREFIX, Settings, load_settings, variable_of
from tests.compose import DOCKER, ROOT, STACKS, compose, configured, instructions, read_env, read_yaml, tool

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = f"vlm-judge-label-studio:{PROJECT['version']}"
STUDIO = Path(str(find_spec("label_studio").origin)).parent  # type: ignore[union-attr]
FILES = sorted({name for names in STACKS.values() for name in names})
WHOLE = [name for name in FILES if name != "compose.gpu.yaml"]
SERVICES = [(name, service) for name in WHOLE for service in read_yaml(name)["services"]]
ONE_MACHINE = {
    name: f"{name.lower()}-0123456789" for name, value in read_env(DOCKER / "example.env").items() if not value
}
"""What `.env` must say; `VLM_JUDGE_API_KEY` would be refused with an engine that asks no servers."""
SCALE = {**ONE_MACHINE, "VLM_JUDGE_API_KEY": "vllm-key"}
SECRET = re.compile(r"PASSWORD|_KEY$|TOKEN$|SECRET")


def described(name: str, service: str) -> dict[str, Any]:
    found: dict[str, Any] = read_yaml(name)["services"][service]
    return found


def every_environment() -> list[tuple[str, str, str | None]]:
    """Place, variable and value as written, of every variable that a container gets."""
    found: list[tuple[str, str, str | None]]
    found = [("label-studio.env", *item) for item in read_env(DOCKER / "label-studio.env").items()]
    for name in FILES:
        for service, description in read_yaml(name)["services"].items():
            found += [(f"{name}: {service}", *item) for item in description.get("environment", {}).items()]
    return found


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_every_service_is_pinned_watched_and_started_again(name: str, service: str) -> None:
    found = described(name, service)
    assert re.fullmatch(r"[a-z/-]+:v?\d+(\.\d+)+(-[a-z]+)?", found["image"])
    assert found["restart"] == "unless-stopped"
    assert found["security_opt"] == ["no-new-privileges:true"]
    if "build" in found:
        assert found["image"].startswith(OURS)
        assert found["build"]["dockerfile"] == "docker/Dockerfile"  # whose health check it has
    else:
        assert found["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}


@pytest.mark.parametrize(("name", "service"), SERVICES)
def test_a_service_waits_until_those_it_needs_are_healthy(name: str, service: str) -> None:
    for needed, how in described(name, service).get("depends_on", {}).items():
        assert needed in read_yaml(name)["services"]
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", WHOLE)
def test_every_volume_is_declared_and_used_and_every_mounted_file_is_there(name: str) -> None:
    whole = read_yaml(name)
    mounted = [volume for service in whole["services"].values() for volume in service.get("volumes", ())]
    sources = {volume.removesuffix(":ro").rpartition(":/")[0] for volume in mounted}
    assert {source for source in sources if source[0] not in "./$"} == set(whole["volumes"])
    for source in sources:
        if source.startswith("./"):
            assert (DOCKER / source).stat().st_mode & 0o555 == 0o555, "the container's user must be able to run it"


def test_no_secret_is_written_down() -> None:
    flags = ("LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN",)
    secret = [(place, name, value) for place, name, value in every_environment() if SECRET.search(name)]
    written = [item for item in secret if item[2] and not re.fullmatch(r"\$\{\w+:\?[^}]+\}", item[2])]
    assert [name for _, name, _ in written if name not in flags] == []
    assert {name for _, name, _ in secret} >= {"POSTGRES_PASSWORD", "VLLM_API_KEY", "VLM_JUDGE_BASIC_AUTH_PASSWORD"}
    in_addresses = [value for _, _, value in every_environment() if re.search(r"//[^/]*:[^$/][^/]*@", value or "")]
    assert in_addresses == []
    assert all(SECRET.search(name) or name == "LABEL_STUDIO_USERNAME" for name in ONE_MACHINE)


def test_the_example_explains_every_variable_and_has_no_other() -> None:
    lines = (DOCKER / "example.env").read_text(encoding="utf-8").splitlines()
    explained = {}
    for before, line in pairwise(lines):
        if found := re.match(r"(?:# )?([A-Z_]+)=", line):
            explained[found[1]] = before
    assert [name for name, text in explained.items() if not re.fullmatch(r"# .*[.`]", text)] == []
    written = "".join((DOCKER / name).read_text(encoding="utf-8") for name in FILES)
    taken = set(re.findall(r"\$\{([A-Z_]+)", written)) | {
        name for _, name, value in every_environment() if value is None
    }
    assert explained.keys() - {"COMPOSE_FILE"} == taken


def test_the_judge_gets_settings_that_exist() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    assert [name for _, name, _ in every_environment() if name.startswith(PREFIX) and name not in known] == []


def read_by_label_studio() -> set[str]:
    """The variables that the installed Label Studio reads; most go with and without LABEL_STUDIO_ in front."""
    paths = [*STUDIO.glob("core/settings/*.py"), STUDIO / "server.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    return set(re.findall(r"get_(?:bool_)?env(?:_list)?\(\s*'([A-Z_]+)'", text))


def test_label_studio_reads_all_that_it_is_told() -> None:
    read = read_by_label_studio()
    told = {name for place, name, _ in every_environment() if place.endswith((": app", ": label-studio", "studio.env"))}
    assert told >= {"ML_BLOCK_LOCAL_IP", "POSTGRE_HOST", "LABEL_STUDIO_USER_TOKEN"}
    assert {name for name in told if name not in read and name.removeprefix("LABEL_STUDIO_") not in read} == set()


def test_label_studio_has_no_use_for_redis() -> None:
    """Where this fails, Label Studio has begun to read where its Redis is, and compose.scale.yaml should have one."""
    settings = "".join(path.read_text(encoding="utf-8") for path in STUDIO.glob("core/settings/*.py"))
    assert re.findall(r"^REDIS_ENABLED = (.*)", settings, re.MULTILINE) == ["False"]
    assert "redis" not in read_yaml("compose.scale.yaml")["services"]


CHECK_ADDRESSES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from django.conf import settings
banned = sys.argv[3].split(",")
settings.configure(USE_DEFAULT_BANNED_SUBNETS=sys.argv[2] == "true", USER_ADDITIONAL_BANNED_SUBNETS=banned)
from core.utils.exceptions import SsrfBlockedUrlError
from core.utils.io import validate_ip
allowed = []
for ip in sys.argv[4:]:
    try:
        validate_ip(ip)
    except SsrfBlockedUrlError:
        continue
    allowed.append(ip)
print(json.dumps(allowed))
"""


def test_label_studio_may_speak_to_containers_but_not_to_itself_or_the_clouds_credentials() -> None:
    told = read_env(DOCKER / "label-studio.env")
    containers = ["172.18.0.3", "192.168.96.2", "10.89.0.5", "fd12:3456::2"]
    own = ["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]
    clouds = ["169.254.169.254", "100.100.100.200", "192.0.0.192", "fe80::a9fe:a9fe", "fd00:ec2::254"]
    lists = [told["USE_DEFAULT_BANNED_SUBNETS"], told["USER_ADDITIONAL_BANNED_SUBNETS"]]
    done = subprocess.run(
        [sys.executable, "-c", CHECK_ADDRESSES, STUDIO, *lists, *containers, *own, *clouds],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == containers
    assert told["ML_BLOCK_LOCAL_IP"] == "false"


@pytest.mark.parametrize("stack", STACKS)
def test_docker_compose_accepts_every_stack(stack: str, tmp_path: Path) -> None:
    services = configured(stack, SCALE, tmp_path)
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert services["backend"]["build"]["context"] == str(ROOT)


@pytest.mark.parametrize(
    ("stack", "name"), [("cpu", name) for name in ONE_MACHINE if "LABEL" in name] + [("scale", name) for name in SCALE]
)
def test_docker_compose_names_a_variable_that_is_missing(stack: str, name: str, tmp_path: Path) -> None:
    used = f"${{{name}:?" in "".join((DOCKER / file).read_text(encoding="utf-8") for file in STACKS[stack])
    done = compose(stack, {**SCALE, name: ""}, tmp_path)
    assert (done.returncode != 0) == used
    assert not used or f"{name} is missing a value: docker/example.env says how" in done.stderr


def judge_settings(stack: str, variables: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that the judge of a stack would run with."""
    environment = configured(stack, variables, folder)["backend"]["environment"]
    image = dict(part.split("=", 1) for word, rest in instructions() if word == "ENV" for part in rest.split())
    for name, value in (image | environment).items():
        if value is not None and name.startswith((PREFIX, "LABEL_STUDIO_", "HF_TOKEN")):
            monkeypatch.setenv(name, value)
    return load_settings()


def test_the_judge_of_one_machine_is_the_embedded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = judge_settings("cpu", ONE_MACHINE, tmp_path, monkeypatch)
    assert (settings.engine, settings.store) == ("demo", "/data/store.sqlite")
    assert settings.label_studio_url == "http://label-studio:8080"
    assert settings.basic_auth_user == "label-studio"
    make_engine(settings)


def test_the_judge_of_a_gpu_runs_the_model_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {**ONE_MACHINE, "VLM_JUDGE_MODEL": "Qwen/Qwen2.5-VL-3B-Instruct"}
    settings = judge_settings("gpu", variables, tmp_path, monkeypatch)
    assert (settings.engine, settings.model) == ("local", "Qwen/Qwen2.5-VL-3B-Instruct")
    make_engine(settings)
    backend = configured("gpu", ONE_MACHINE, tmp_path)["backend"]
    [device] = backend["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert backend["image"] == f"{OURS}-cuda"


def test_the_judges_of_many_gpus_share_servers_and_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = judge_settings("scale", SCALE, tmp_path, monkeypatch)
    services = configured("scale", SCALE, tmp_path)
    vllm = sorted(name for name in services if name.startswith("vllm-"))
    assert settings.engine == "remote"
    assert settings.servers == tuple(f"http://{name}:8000" for name in vllm)
    assert settings.store == "postgresql://vlm_judge:judge_database_password-0123456789@postgres:5432/vlm_judge"
    make_engine(settings)
    assert [services[name]["command"][0] for name in vllm] == [settings.model] * 2
    assert [services[name]["environment"]["VLLM_API_KEY"] for name in vllm] == ["vllm-key"] * 2
    reserved = [services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name in vllm]
    assert reserved == [["0"], ["1"]]
    assert services["backend"]["deploy"]["replicas"] == 2
    assert "ports" not in services["backend"]


def test_label_studio_and_the_judges_use_the_databases_that_are_made(tmp_path: Path) -> None:
    services = configured("scale", SCALE, tmp_path)
    made = services["postgres"]["environment"]
    told = services["app"]["environment"]
    assert (told["POSTGRE_USER"], told["POSTGRE_NAME"]) == ("label_studio", "label_studio")
    assert told["POSTGRE_PASSWORD"] == made["LABEL_STUDIO_DATABASE_PASSWORD"]
    assert made["JUDGE_DATABASE_PASSWORD"] in services["backend"]["environment"]["VLM_JUDGE_STORE"]
    script = (DOCKER / "databases.sh").read_text(encoding="utf-8")
    owners = re.findall(r"CREATE DATABASE (\w+) OWNER (\w+);", script)
    assert owners == [("label_studio", "label_studio"), ("vlm_judge", "vlm_judge")]


def test_a_dockerfile_linter_finds_nothing() -> None:
    done = subprocess.run([tool("hadolint"), DOCKER / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_does_not_run_as_root_and_is_watched() -> None:
    words = [word for word, _ in instructions()]
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users == ["10001:10001"]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert dict(instructions())["STOPSIGNAL"] == "SIGTERM"
    assert '"python", "/usr/local/bin/healthcheck.py"' in dict(instructions())["HEALTHCHECK"]
    assert json.loads(dict(instructions())["VOLUME"]) == ["/data", "/models"]


def test_the_image_is_built_from_pinned_things() -> None:
    bases = {rest.partition(" AS ")[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", bases.pop())
    assert "ADD" not in [word for word, _ in instructions()]
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in rest for rest in installs)


def test_the_image_is_built_with_extras_that_exist() -> None:
    default = next(rest for word, rest in instructions() if rest.startswith("EXTRAS="))
    chosen = read_yaml("compose.scale.yaml")["services"]["backend"]["build"]["args"]["EXTRAS"]
    for extras in (default.removeprefix("EXTRAS="), chosen):
        assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()


NEEDS = {
    "export": {"export"},
    "trust": {"sweep", "calibrate", "certify", "accept", "report", "examples"},
    "generate": {"generate"},
}
"""Extras of the image by the commands that cannot do without them."""
LEFT_OUT = {"demo", "evaluate", "bench"}


def test_every_command_is_in_the_image_or_said_not_to_be() -> None:
    default = next(rest for word, rest in instructions() if rest.startswith("EXTRAS="))
    chosen = read_yaml("compose.scale.yaml")["services"]["backend"]["build"]["args"]["EXTRAS"]
    told = (DOCKER / "README.md").read_text(encoding="utf-8")
    assert set(default.removeprefix("EXTRAS=").split(",")) == {*NEEDS, "local", "postgres"}
    assert set(chosen.split(",")) == {*NEEDS, "postgres"}
    assert f"`--build-arg EXTRAS={chosen}`" in told
    assert set().union(*NEEDS.values(), LEFT_OUT) <= main.commands.keys()
    section = told.partition("Not in the image are")[2].partition("\n\n")[0]
    assert {name for name in main.commands if f"`{name}`" in section} == LEFT_OUT


def test_the_image_starts_a_command_that_exists() -> None:
    [program] = json.loads(dict(instructions())["ENTRYPOINT"])
    arguments = json.loads(dict(instructions())["CMD"])
    assert program in PROJECT["scripts"]
    assert arguments == ["serve", "--host", "0.0.0.0", "--port", "9090"]
    assert CliRunner().invoke(main, [*arguments, "--help"]).exit_code == 0


def test_only_what_is_copied_gets_to_the_builder() -> None:
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    lines = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_commands_of_the_readme_exist() -> None:
    text = re.sub(r"\\\n\s*", "", (DOCKER / "README.md").read_text(encoding="utf-8"))
    commands = re.findall(r"exec backend vlm-judge (.+)", text)
    assert len(commands) == 3
    for line in commands:
        done = CliRunner().invoke(main, [*line.split(), "--help"])
        assert done.exit_code == 0, done.output
        assert isinstance(main.commands[line.split()[0]], click.Command)
    assert all(f"`{name}`" in text for name in FILES)
