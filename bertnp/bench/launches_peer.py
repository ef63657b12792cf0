"""How many kernels and copies one run of a side starts on the GPU, told by PyTorch's profiler, which sees all that a
process does there. Run by `running`, where PyTorch is installed.
"""

import importlib

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bertnp.bench.measuring import serve


def prepare(request):
    run, _ = importlib.import_module(f"bertnp.bench.{request['module']}").prepare(request)
    for _ in range(request["warm_up"]):
        run()
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        run()
    return None, {"launches": sum(event.device_type == DeviceType.CUDA for event in record.events())}


if __name__ == "__main__":
    serve(prepare)
