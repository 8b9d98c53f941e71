import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from dev.cluster.layout import layout
from dev.cluster.network import SLOTS, Network, free_networks
from dev.cluster.parts import USERS, Node, api_server, configuration, first_parts, other_parts
from dev.cluster.pause import write_pause_image
from dev.cluster.processes import Record, start_time
from dev.image.base import public_image
from dev.programs import _release, _version_flags


@pytest.mark.parametrize(
    ("routes", "first"),
    [
        pytest.param([], 0, id="nothing is taken"),
        pytest.param(["192.0.2.0/24"], 0, id="another range"),
        pytest.param(["10.201.0.0/24"], 1, id="the veth pair of a running cluster"),
        pytest.param(["10.202.0.0/24", "10.203.1.0/24"], 2, id="pods of one and services of another"),
        pytest.param(["10.203.0.7/32"], 1, id="a single host in the services' range"),
        pytest.param(["10.0.0.0/8"], 0, id="a VPN for all private addresses gives way"),
        pytest.param(["10.202.0.0/16"], None, id="a real network over all slots"),
    ],
)
def test_first_free_slot(routes: list[str], first: int | None) -> None:
    found = [network.slot for network in free_networks([IPv4Network(route) for route in routes])]
    assert (found[0] if found else None) == first


def test_slots_share_no_address() -> None:
    ranges = [part for slot in SLOTS for part in (Network(slot).between, Network(slot).pods, Network(slot).services)]
    assert len(set(ranges)) == len(ranges)
    assert not any(one.overlaps(other) for one in ranges[:3] for other in ranges[3:])


@pytest.mark.parametrize("name", ["", "Test", "-test", "test-", "a/b", "..", "a" * 31])
def test_names_that_no_cluster_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a cluster"):
        layout(name)


@pytest.fixture
def node() -> Node:
    return Node(layout("demo"), Network(3), Path("/programs"), "overlayfs")


def test_every_file_a_part_is_started_with_is_written(node: Node) -> None:
    tokens = dict.fromkeys(USERS, "secret")
    written = {str(node.layout.etc / name) for name in configuration(node, tokens)}
    # The API server makes the one, the node's first process the other.
    written |= {str(node.layout.certificate), str(node.layout.etc / "pki/service-account.key")}
    parts = (*first_parts(node), api_server(node), *other_parts(node))
    words = {word.rpartition("=")[2] for part in parts for word in part.command}
    files = {word for word in words if Path(word).parent in {node.layout.etc, node.layout.etc / "pki"}}
    folders = {str(node.layout.etc / "pki"), str(node.layout.etc / "pki/kubelet")}
    assert files - folders
    assert files - folders <= written


def test_kubelet_is_a_node_and_nothing_more(node: Node) -> None:
    assert (
        configuration(node, {"kubelet": "secret"})["tokens.csv"] == 'secret,system:node:demo,kubelet,"system:nodes"\n'
    )


def test_pods_of_two_clusters_have_different_cgroups(node: Node) -> None:
    other = Node(layout("test"), Network(4), Path("/programs"), "overlayfs")
    roots = {json.loads(configuration(it, {})["kubelet.json"])["cgroupRoot"] for it in (node, other)}
    assert roots == {"/schema-operator-demo", "/schema-operator-test"}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started
        started.kill()


def test_the_recorded_process_is_killed(process: subprocess.Popen[bytes]) -> None:
    started = start_time(process.pid)
    assert started is not None
    record = Record(process.pid, started)
    assert record.alive()
    record.kill(patience=30)
    assert process.wait() != 0
    assert not record.alive()


def test_a_process_that_took_over_the_id_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    started = start_time(process.pid)
    assert started is not None
    record = Record(process.pid, started - 1)
    assert not record.alive()
    record.kill(patience=30)
    assert process.poll() is None


def test_a_process_that_is_gone_needs_no_killing(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert start_time(process.pid) is None
    Record(process.pid, 1).kill(patience=30)


def test_pause_image_names_its_layer_by_content(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"a program")
    write_pause_image(program, tmp_path / "pause.tar")
    with tarfile.open(tmp_path / "pause.tar") as archive:
        content = {name: (archive.extractfile(name) or program.open("rb")).read() for name in archive.getnames()}
    config = json.loads(content["config.json"])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content['layer.tar']).hexdigest()}"]
    assert json.loads(content["manifest.json"])[0]["RepoTags"] == ["localhost/pause:1"]


@pytest.mark.parametrize(
    ("version", "release"),
    [("go1.24.3", (1, 24)), ("go1.26", (1, 26)), ("go1.9.7", (1, 9)), ("devel go1.27-abc", ()), ("", ())],
)
def test_release_of_go(version: str, release: tuple[int, ...]) -> None:
    assert _release(version) == release


def test_programs_say_the_version_they_are_built_from() -> None:
    flags = _version_flags("require (\n\tk8s.io/component-base v0.34.4\n\tk8s.io/kubernetes v1.34.4\n)\n")
    assert "gitVersion=v1.34.4" in flags
    assert "gitMajor=1" in flags
    assert "gitMinor=34" in flags
    with pytest.raises(ValueError, match=r"requires no k8s\.io/kubernetes"):
        _version_flags("require k8s.io/api v0.34.4\n")


def test_public_base_image_is_the_dockerfiles_default() -> None:
    assert public_image("# x\nARG BASE=example/python:3\nFROM ${BASE}\n") == "example/python:3"
    with pytest.raises(ValueError, match="ARG BASE"):
        public_image("FROM example/python:3\n")
