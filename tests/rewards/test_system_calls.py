"""The filter of system calls, run as the kernel would run it: a machine of five instructions (Linux, filter.txt)."""

import platform
import struct

import pytest

from thinkwright.rewards.system_calls import refused_system_calls

ALLOWED, KILLED, NOT_PERMITTED, NOT_KNOWN = 0x7FFF0000, 0x80000000, 0x00050000 | 1, 0x00050000 | 38
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000
THREAD = 0x003D0F00  # what the C library makes threads with
X86, ARM = 0xC000003E, 0xC00000B7
# By the kernel's own tables, asm/unistd.h.
REFUSED = {
    X86: {"ptrace": 101, "pivot_root": 155, "mount": 165, "umount2": 166, "keyctl": 250, "unshare": 272, "setns": 308,
          "bpf": 321, "userfaultfd": 323, "memfd_create": 319, "shmget": 29, "io_uring_setup": 425,
          "memfd_secret": 447},
    ARM: {"ptrace": 117, "pivot_root": 41, "mount": 40, "umount2": 39, "keyctl": 219, "unshare": 97, "setns": 268,
          "bpf": 280, "userfaultfd": 282, "memfd_create": 279, "shmget": 194, "io_uring_setup": 425,
          "memfd_secret": 447},
}  # fmt: skip
HARMLESS = {
    X86: {"read": 0, "write": 1, "mmap": 9, "getpid": 39, "vfork": 58, "execve": 59, "exit": 60, "wait4": 61},
    ARM: {"read": 63, "write": 64, "mmap": 222, "getpid": 172, "execve": 221, "exit": 93, "wait4": 260},
}
CLONE = {X86: 56, ARM: 220}


@pytest.fixture(params=[("x86_64", X86), ("aarch64", ARM)], ids=["x86_64", "aarch64"])
def architecture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    name, number = request.param
    monkeypatch.setattr(platform, "machine", lambda: name)
    return number


def verdict(architecture: int, number: int, first_argument: int = 0) -> int:
    """What the filter decides of a call."""
    steps = refused_system_calls()
    assert steps is not None
    call = struct.pack("=IIQ6Q", number, architecture, 0, first_argument, *[0] * 5)
    place, held = 0, 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("=HBBI", steps, 8 * place)
        place += 1
        match operation:
            case 0x20:
                (held,) = struct.unpack_from("=I", call, value)
            case 0x15:
                place += if_true if held == value else if_false
            case 0x35:
                place += if_true if held >= value else if_false
            case 0x45:
                place += if_true if held & value else if_false
            case 0x06:
                return value
            case _:
                raise AssertionError(f"no instruction: {operation:#x}")


def test_what_has_opened_ways_out_is_refused_and_what_a_program_needs_is_not(architecture: int) -> None:
    for name, number in REFUSED[architecture].items():
        assert verdict(architecture, number) == NOT_PERMITTED, name
    for name, number in HARMLESS[architecture].items():
        assert verdict(architecture, number) == ALLOWED, name
        assert verdict(architecture, number, NEW_USER | NEW_NETWORK) == ALLOWED, name  # flags are clone's alone


def test_processes_and_threads_may_be_made_but_no_namespaces(architecture: int) -> None:
    clone = CLONE[architecture]
    for flags in (17, THREAD):  # 17: a process that tells its end by SIGCHLD
        assert verdict(architecture, clone, flags) == ALLOWED
    for flags in (0x00020000, 0x02000000, 0x04000000, 0x08000000, NEW_USER, 0x20000000, NEW_NETWORK):
        assert verdict(architecture, clone, flags | 17) == NOT_PERMITTED
    assert verdict(architecture, 435) == NOT_KNOWN  # clone3: libraries go back to clone


def test_calls_of_another_architecture_end_the_program(architecture: int) -> None:
    other = ARM if architecture == X86 else X86
    assert verdict(other, HARMLESS[architecture]["read"]) == KILLED
    assert verdict(0x40000003, 11) == KILLED  # the 32-bit calls of i386


def test_the_second_table_of_numbers_is_closed(architecture: int) -> None:
    for number in (0x40000000, 0x40000000 + 520, 0xFFFFFFFF):
        assert verdict(architecture, number) == NOT_PERMITTED
    assert verdict(architecture, 0x3FFFFFFF) == ALLOWED
