"""What `mrcnn.backend` sets for the whole process."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, re, tempfile, threading
from mrcnn.backend import keep_memory_together

libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]

def places():
    with tempfile.NamedTemporaryFile() as file:
        stream = libc.fopen(file.name.encode(), b"w")
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return len(re.findall(rb"<heap nr=", file.read()))

def more():
    begun, barrier = places(), threading.Barrier(9)
    def take():
        kept = bytes(50_000)
        barrier.wait(60)
    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait(60)
    found = places() - begun
    for thread in threads:
        thread.join()
    return found

if {call}:
    keep_memory_together()
print(more())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc_info is glibc's")
@pytest.mark.parametrize("call", [False, True])
def test_new_threads_take_memory_from_one_place(call):
    program = PROGRAM.replace("{call}", str(call))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) == 0) == call
