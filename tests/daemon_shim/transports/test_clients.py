"""Which command an address becomes, and which addresses become none."""

from __future__ import annotations

import pytest

from daemon_shim.errors import UnreachableError
from daemon_shim.transports import clients, transport_for
from daemon_shim.transports.base import TlsFiles


# The commands of buildctl v0.32.2 (client/connhelper and the tests there).
@pytest.mark.parametrize(
    ("address", "command"),
    [
        ("ssh://host", "ssh -- host buildctl dial-stdio"),
        ("ssh://me@host:2222", "ssh -l me -p 2222 -- host buildctl dial-stdio"),
        ("ssh://host/", "ssh -- host buildctl dial-stdio"),
        (
            "ssh://host/run/user/1000/buildkit/buildkitd.sock",
            "ssh -- host buildctl --addr unix:///run/user/1000/buildkit/buildkitd.sock dial-stdio",
        ),
        ("ssh://me@[fe80::1%eth0]:22", "ssh -l me -p 22 -- fe80::1%eth0 buildctl dial-stdio"),
        ("docker-container://Build_1", "docker exec -i Build_1 buildctl dial-stdio"),
        ("docker-container://c/", "docker exec -i c buildctl dial-stdio"),
        ("docker-container://c?context=", "docker exec -i c buildctl dial-stdio"),
        ("docker-container://c?context=x", "docker --context=x exec -i c buildctl dial-stdio"),
        ("podman-container://c", "podman exec -i c buildctl dial-stdio"),
        ("nerdctl-container://c", "nerdctl exec -i c buildctl dial-stdio"),
        (
            "nerdctl-container://c?namespace=k8s.io",
            "nerdctl exec --namespace k8s.io -i c buildctl dial-stdio",
        ),
        (
            "kube-pod://pod-1",
            "kubectl --context= --namespace= exec --container= -i pod-1 -- buildctl dial-stdio",
        ),
        (
            "kube-pod://pod?context=user@cluster&namespace=ns&container=c",
            "kubectl --context=user@cluster --namespace=ns exec --container=c -i pod "
            "-- buildctl dial-stdio",
        ),
        (
            "kube-pod://pod?context=arn%3Aaws%3Aeks%3Acluster%2Fx",
            "kubectl --context=arn:aws:eks:cluster/x --namespace= exec --container= -i pod "
            "-- buildctl dial-stdio",
        ),
    ],
)
def test_an_address_becomes_the_command_of_buildctl(address: str, command: str) -> None:
    scheme, _, place = address.partition("://")
    assert " ".join(clients.command_of(scheme, place).arguments) == command


def test_an_engine_behind_ssh_is_reached_as_dockers_client_does() -> None:
    command = clients.engine_command_of("me@host")
    assert command.arguments == ("ssh", "-l", "me", "--", "host", "docker", "system", "dial-stdio")


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("ssh://", "it names no host"),
        ("ssh://-oProxyCommand=x", "'-oProxyCommand=x' is no name of a host"),
        ("ssh://-l@host", "'-l' is no name of a user"),
        ("ssh://host;id", "'host;id' is no name of a host"),
        ("ssh://host/run/a b.sock", "'/run/a b.sock' is no name of a socket"),
        ("ssh://host/run/$(id)", "'/run/$(id)' is no name of a socket"),
        ("ssh://host/run/x;id", "'/run/x;id' is no name of a socket"),
        ("ssh://me:secret@host", "it cannot be taken apart"),
        ("ssh://host:0", "0 is no port"),
        ("ssh://host:65536", "65536 is no port"),
        ("ssh://host:port", "it cannot be taken apart"),
        ("ssh://host?x=1", "there is no option 'x', it may have none"),
        ("ssh://host#x", "it cannot be taken apart"),
        ("docker-container://", "it names no container"),
        ("docker-container://--privileged", "'--privileged' is no name of a container"),
        ("docker-container://a\nb", "is no name of a container"),
        ("docker-container://c:1", "it has more than a name and options"),
        ("docker-container://c/x", "it has more than a name and options"),
        ("docker-container://me@c", "it has more than a name and options"),
        ("docker-container://c?contxt=x", "there is no option 'contxt', it may have context"),
        ("docker-container://c?context=a&context=b", "the option context stands there twice"),
        ("docker-container://c?context=a%0ab", "is no name of a context"),
        ("podman-container://c?context=x", "there is no option 'context', it may have none"),
        ("nerdctl-container://c?namespace=-x", "'-x' is no name of a namespace"),
        ("kube-pod://Pod", "'Pod' is no name of a pod"),
        ("kube-pod://-x", "'-x' is no name of a pod"),
        ("kube-pod://pod?namespace=a_b", "'a_b' is no name of a namespace"),
        ("kube-pod://pod?container=-c", "'-c' is no name of a container"),
    ],
)
def test_an_address_that_a_client_could_misread_is_refused(address: str, what: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        transport_for(address)
    assert str(caught.value).startswith(f"cannot use the address {address!r}: ")
    assert what in str(caught.value)
    assert "kube-pod://POD" in (caught.value.hint or "")


def test_tls_files_are_refused_where_they_would_not_count() -> None:
    with pytest.raises(UnreachableError, match="TLS files are of no use"):
        transport_for("docker-container://c", tls=TlsFiles(ca="ca.pem"))
    assert transport_for("docker-container://c", tls=TlsFiles()).engine is False
