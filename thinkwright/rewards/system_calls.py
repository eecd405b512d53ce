"""The system calls that a sandboxed program is refused, as a filter that bubblewrap loads (``--seccomp``).

Namespaces hide the machine but leave the whole kernel within reach; an arithmetic program needs little of it. Refused
is what has opened ways out of sandboxes before or holds memory that no limit counts: further namespaces, mounts,
looking into other processes, kernel programs, keys, asynchronous input and output, and memory without an owner.
"""

import platform
import struct

_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_NOT_PERMITTED, _NOT_KNOWN = 1, 38
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_NAMESPACE_FLAGS = 0x7E020000
_ALIEN_NUMBERS = 0x40000000  # the 32-bit calls of x86-64
_ARCHITECTURES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "shmget": 29, "clone": 56, "ptrace": 101, "pivot_root": 155, "mount": 165, "umount2": 166, "add_key": 248,
            "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "setns": 308,
            "process_vm_readv": 310, "process_vm_writev": 311, "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "umount2": 39, "mount": 40, "pivot_root": 41, "unshare": 97, "ptrace": 117, "shmget": 194, "add_key": 217,
            "request_key": 218, "keyctl": 219, "clone": 220, "perf_event_open": 241, "setns": 268,
            "process_vm_readv": 270, "process_vm_writev": 271, "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
        },
    ),
}  # fmt: skip
# The newer calls have one number everywhere. clone3 hides its flags in memory; libraries go back to clone.
_NEWER = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "mount_setattr": 442, "memfd_secret": 447,
}  # fmt: skip
_CLONE3 = 435


def refused_system_calls() -> bytes | None:
    """The filter for this machine's processor, or None where its system calls are not listed here."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        return None
    architecture, numbers = known
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT), _step(_IF_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT), _step(_IF_AT_LEAST, _ALIEN_NUMBERS, 0, 1), _step(_RETURN, _REFUSE | _NOT_PERMITTED),
        _step(_IF_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _REFUSE | _NOT_KNOWN),
    ]  # fmt: skip
    for name, number in (numbers | _NEWER).items():
        if name != "clone":
            steps += [_step(_IF_EQUAL, number, 0, 1), _step(_RETURN, _REFUSE | _NOT_PERMITTED)]
    steps += [
        _step(_IF_EQUAL, numbers["clone"], 0, 3), _step(_LOAD, _FIRST_ARGUMENT_AT),
        _step(_IF_ANY_BIT, _NAMESPACE_FLAGS, 0, 1), _step(_RETURN, _REFUSE | _NOT_PERMITTED), _step(_RETURN, _ALLOW),
    ]  # fmt: skip
    return b"".join(steps)


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, value)
