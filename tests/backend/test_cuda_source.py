"""What can be known about CUDA without a GPU: every source compiles, and CuPy and cuBLAS take what they are given."""

import ctypes
import importlib.util
import re
from pathlib import Path

import pytest

import bertnp.functional  # noqa: F401  (declares the formulas, which kernels need)
from bertnp.backend import get_backend
from bertnp.backend.cupy_kernels import device as cuda

pytestmark = pytest.mark.cupy
ARCHITECTURE = "sm_90"  # of the H100


def compile_cuda(source, method="ptx"):
    """Compile with NVRTC, which needs no driver; raises CompileException with the compiler's words."""
    import cupy
    from cupy.cuda import compiler

    found = importlib.util.find_spec("nvidia")
    roots = [] if found is None else [Path(root) for root in found.submodule_search_locations]
    own = Path(cupy.__file__).parent / "_core" / "include"
    folders = [own, *own.glob("cupy/_cccl/*"), *(folder for root in roots for folder in root.glob("*/include"))]
    options = ("--std=c++17", f"-arch={ARCHITECTURE}", *(f"-I{folder}" for folder in folders))
    return compiler._NVRTCProgram(source, "kernels.cu", (), (), method=method).compile(options, None)[0]


def elementwise_source(dtype):
    """All statements in kernels as CuPy writes them: T by its name there, inputs const, outputs references."""
    name = {"float32": "float", "float64": "double", "bfloat16": "bfloat16"}[dtype]
    lines = ["#include <cupy/complex.cuh>", "#include <cupy/carray.cuh>", "#include <cupy/float16.cuh>"]
    lines += ["#include <cupy/bfloat16.cuh>"] if dtype == "bfloat16" else []
    lines += [f"typedef {name} T;", cuda.PREAMBLE]
    for kernel in cuda.ELEMENTWISE.values():
        pointers, loads = [], []
        for declaration, const in ((kernel.inputs, "const "), (kernel.outputs, "")):
            for part in declaration.split(","):
                kind, variable = part.split()
                kind = {"T": "T", "bool": "bool", "float64": "double"}[kind]
                pointers.append(f"{const}{kind}* _{variable}")
                loads.append(f"{const}{kind}{' ' if const else '& '}{variable} = _{variable}[i];")
        lines.append(
            f'extern "C" __global__ void of_{kernel.name}({", ".join(pointers)}, long long n) {{\n'
            f"long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; if (i >= n) return;\n"
            f"{' '.join(loads)}\n{kernel.statement} }}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("dtype", cuda.FLOATS)
def test_the_code_of_all_kernels_compiles(dtype):
    compiled = compile_cuda(cuda.source(dtype))
    names = re.findall(r'extern "C" __global__ void (\w+)', cuda.source(dtype))
    assert len(names) > 15
    for name in names:
        assert f".entry {name}(".encode() in compiled, name


def test_machine_code_for_the_h100_is_made():
    assert compile_cuda(cuda.source("bfloat16"), method="cubin")[:4] == b"\x7fELF"


@pytest.mark.parametrize("dtype", cuda.FLOATS)
def test_the_statements_for_each_element_compile(dtype):
    compiled = compile_cuda(elementwise_source(dtype))
    for name in cuda.ELEMENTWISE:
        assert f"of_{name}".encode() in compiled, name


MISTAKES = [("larger(", "largest("), ("(T)normal", "normal.x"), ("block_sum(sum)", "block_sum(")]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_do_not_compile(mistake):
    from cupy.cuda.compiler import CompileException

    source = cuda.source("float32")
    assert mistake[0] in source
    with pytest.raises(CompileException, match="error"):
        compile_cuda(source.replace(*mistake))


def test_cupy_takes_the_statements_as_kernels():
    import cupy

    device = cuda.CudaDevice(cupy)
    for kernel in cuda.ELEMENTWISE.values():
        made = device.elementwise(kernel)
        assert isinstance(made, cupy.ElementwiseKernel) and device.elementwise(kernel) is made
        assert (made.nin, made.nout) == (kernel.inputs.count(",") + 1, kernel.outputs.count(",") + 1)


def test_cupy_has_the_calls_that_products_are_made_by():
    """With their parameters in the order in which they are given."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    parameters = cublas.gemmEx.__doc__.splitlines()[0].partition("(")[2].rstrip(")").split(", ")
    assert " ".join(parameter.split()[-1] for parameter in parameters) == (
        "handle transa transb m n k alpha A Atype lda B Btype ldb beta C Ctype ldc computeType algo"
    )
    assert callable(cublas.setStream) and callable(cublas.getVersion)
    assert cublas.setMathMode.__doc__.splitlines()[0] == "setMathMode(intptr_t handle, int mode)"
    assert (cublas.CUBLAS_COMPUTE_32F, cublas.CUBLAS_COMPUTE_32F_FAST_TF32, cublas.CUBLAS_COMPUTE_64F) == tuple(
        cuda.COMPUTE[name] for name in ("float32", "tf32", "float64")
    )
    assert callable(cupy.cuda.device.get_cublas_handle) and callable(cupy.cuda.get_current_stream)


def test_cublas_has_the_call_that_stacks_are_multiplied_by():
    """It is looked up in the real library, and refuses a handle that is none (status 1) instead of reading it."""
    folders = importlib.util.find_spec("nvidia").submodule_search_locations
    (library,) = [path for folder in folders for path in Path(folder).glob("*/lib/libcublas.so.*")]
    lt = next(library.parent.glob("libcublasLt.so.*"))
    ctypes.CDLL(str(lt), mode=ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)  # as CuPy does on a machine with a GPU
    multiply = cuda.gemm_batched(int(library.name.rpartition(".")[2]))
    assert len(multiply.argtypes) == 20
    assert multiply(None, 0, 0, 1, 1, 1, None, None, 0, 1, None, 0, 1, None, None, 0, 1, 1, 68, -1) == 1


def test_without_a_gpu_the_device_says_so_in_one_line():
    import cupy

    if cupy.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="^device 'cuda' was asked for, but CuPy finds no CUDA device on this machine"):
        get_backend("cuda")
