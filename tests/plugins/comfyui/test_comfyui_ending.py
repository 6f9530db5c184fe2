"""What to do about a node's error follows from what it says, whatever card or system it runs on."""

import pytest

from plugins.comfyui.ending import failure_of
from plugins.comfyui.run import Phase, Run

MEMORY = "Close what else uses its memory, or ask for smaller pictures in the plan"
DISK = "Make room on the server's disk"
READ_ONLY = "Make the server's output folder writable"
TERMINAL = "Look at its terminal"
ERRORS = {
    "CUDA": (MEMORY, "torch.OutOfMemoryError: Allocation on device"),
    "CUDA before 2.5": (MEMORY, "torch.cuda.OutOfMemoryError: Allocation on device 0 would exceed allowed memory"),
    "CUDA, from a kernel": (MEMORY, "RuntimeError: CUDA error: out of memory"),
    "CUDA, from an accelerator": (MEMORY, "torch.AcceleratorError: CUDA error: out of memory"),
    "cuBLAS": (MEMORY, "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "ROCm": (MEMORY, "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB"),
    "ROCm, from a kernel": (MEMORY, "RuntimeError: HIP error: hipErrorOutOfMemory"),
    "MPS": (MEMORY, "RuntimeError: MPS backend out of memory (MPS allocated: 10 GB, max allowed: 18 GB)."),
    "MPS, one buffer": (MEMORY, "RuntimeError: Invalid buffer size: 23.40 GiB"),
    "DirectML": (
        MEMORY,
        "RuntimeError: Could not allocate tensor with 100 bytes. There is not enough GPU video memory available!",
    ),
    "XPU": (MEMORY, "RuntimeError: level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    "CPU": (MEMORY, "RuntimeError: DefaultCPUAllocator: not enough memory: you tried to allocate 1000000 bytes."),
    "CPU on Linux": (
        MEMORY,
        "RuntimeError: DefaultCPUAllocator: can't allocate memory: Error code 12 (Cannot allocate memory)",
    ),
    "Python": (MEMORY, "MemoryError: "),
    "numpy": (MEMORY, "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array"),
    "Windows": (MEMORY, "OSError: [WinError 1455] The paging file is too small for this operation to complete"),
    "Windows in German": (MEMORY, "OSError: [WinError 1455] Die Auslagerungsdatei ist zu klein"),
    "disk": (DISK, "OSError: [Errno 28] No space left on device"),
    "disk on Windows": (DISK, "OSError: [WinError 112] There is not enough space on the disk"),
    "disk on Windows in German": (DISK, "OSError: [WinError 112] Es steht nicht genug Speicherplatz zur Verfügung"),
    "disk, from Rust": (DISK, 'SafetensorError: IoError(Os { code: 28, kind: StorageFull, message: "full" })'),
    "quota": (DISK, "OSError: [Errno 122] Disk quota exceeded: '/home/kira/ComfyUI/output'"),
    "read-only": (READ_ONLY, "OSError: [Errno 30] Read-only file system: '/ComfyUI/output/kira_00001_.png'"),
    "another CUDA error": (TERMINAL, "RuntimeError: CUDA error: an illegal memory access was encountered"),
    "another error": (TERMINAL, "ValueError: not enough values to unpack (expected 2, got 1)"),
    "another number": (TERMINAL, "RuntimeError: CUDA error 112: no kernel image is available"),
    "another buffer": (TERMINAL, "ValueError: buffer size must be a multiple of element size"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error_of_a_node_gets_the_advice_that_fits(name: str) -> None:
    """Memory, a full disk and a read-only one have advice of their own; for all else there is the terminal."""
    advice, error = ERRORS[name]
    run = Run(prompt_id="1", phase=Phase.FAILED, error=f"node 7 (KSampler) raised {error}", closed=True)
    assert str(failure_of(run, url="http://gpu1:8188")) == (
        f"http://gpu1:8188 failed on this picture: node 7 (KSampler) raised {error}. {advice}, then run this again; "
        "what is finished is kept."
    )
