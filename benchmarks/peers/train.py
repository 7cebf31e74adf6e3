"""pare and PyTorch train side by side, turn by turn in one run on one thread: prints the ratio of the medians of a step.

usage: train.py [BUILD] [--seconds S] [CASE ...]      BUILD = build/release; needs torch and, for mobilenet_v2, torchvision (PyPI)

PyTorch runs every convolution net in both memory formats, the GPT and AdamW over ResNet-50's parameters (the update alone)
with both AdamWs, foreach and fused; the ratio is against the faster one. The QAT rows (moving averages, and
learned steps by LSQ) stand against PyTorch's float step. Then the peak resident memory of ResNet-20 runs, less that of the same program stopped before its first
step, and the loader's share of a ResNet-20 step, both programs pinned to one core."""
import os
import subprocess
import sys
import time

import numpy as np

TARGETS = {
    "add": 0.25, "add_grad": 0.25, "mlp_sigmoid": 0.25, "very_simple": 0.25, "lenet300": 0.8,
    "lenet5": 0.8, "resnet20": 0.85, "ds_cnn": 0.8, "mobilenet_v2": 0.8, "qat_lenet5": 1.0, "qat_resnet20": 1.0, "lsq_lenet5": 1.0, "lsq_resnet20": 1.0,
    "gpt": 0.9, "lstm": 0.9, "gru": 0.9, "adamw": 0.7,
}


def resnet50_shapes():
    """Weights, norms' scales and shifts, and the classifier: 161 tensors, 25.6 million elements."""
    shapes, width = [(64, 3, 7, 7), (64,), (64,)], 64
    for blocks, planes in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            for o, i, k in ((planes, width, 1), (planes, planes, 3), (4 * planes, planes, 1)):
                shapes += [(o, i, k, k), (o,), (o,)]
            if block == 0:
                shapes += [(4 * planes, width, 1, 1), (4 * planes,), (4 * planes,)]
            width = 4 * planes
    return shapes + [(1000, 2048), (1000,)]


def torch_step(name, second):
    """`second`: in PyTorch's second setting, channels-last or fused."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.set_num_threads(1)
    torch.manual_seed(0)

    if name == "gpt":
        import gpt
        return gpt.training_step(second)

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            self.pad = o // 4 if i != o else 0

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.pad:
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad))
            return F.relu(x + y)

    def resnet20():
        layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        layers += [Block(*w) for w in widths]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def ds_cnn():
        layers = [nn.Conv2d(1, 64, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Dropout(0.2)]
        for _ in range(4):
            layers += [nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                       nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        return nn.Sequential(*layers, nn.Dropout(0.4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))

    def mobilenet_v2():
        import torchvision  # as far as it is asked for
        return torchvision.models.mobilenet_v2()

    if name in ("add", "add_grad"):
        a, b = torch.randn(4), torch.randn(4)
        a.requires_grad_(name == "add_grad")

        def adds():
            for _ in range(1000):
                torch.add(a, b)
        return adds

    class LastStep(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer, self.fc = layer, nn.Linear(256, 10)

        def forward(self, x):
            return self.fc(self.layer(x)[0][-1])

    if name == "adamw":
        parameters = [nn.Parameter(torch.randn(shape) * 0.01) for shape in resnet50_shapes()]
        for p in parameters:
            p.grad = torch.randn_like(p)
        adamw = torch.optim.AdamW(parameters, lr=1e-3, foreach=not second, fused=second)
        return adamw.step

    relu = nn.ReLU
    make = {
        "mlp_sigmoid": (lambda: nn.Sequential(nn.Linear(784, 30), nn.Sigmoid(), nn.Linear(30, 10)), (10, 784)),
        "very_simple": (lambda: nn.Sequential(nn.Linear(784, 100), relu(), nn.Linear(100, 100), relu(), nn.Linear(100, 10)), (10, 784)),
        "lenet300": (lambda: nn.Sequential(nn.Linear(784, 300), relu(), nn.Linear(300, 100), relu(), nn.Linear(100, 10)), (64, 784)),
        "lenet5": (lambda: nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.Flatten(),
                                         nn.Linear(800, 500), relu(), nn.Linear(500, 10)), (64, 1, 28, 28)),
        "resnet20": (resnet20, (128, 3, 32, 32)),
        "ds_cnn": (ds_cnn, (64, 1, 49, 10)),
        "mobilenet_v2": (mobilenet_v2, (8, 3, 224, 224)),
        "lstm": (lambda: LastStep(nn.LSTM(128, 256)), (50, 32, 128)),
        "gru": (lambda: LastStep(nn.GRU(128, 256)), (50, 32, 128)),
    }
    build, shape = make[name.removeprefix("qat_").removeprefix("lsq_")]
    batch = shape[1] if name in ("lstm", "gru") else shape[0]
    net, x, y = build(), torch.randn(*shape), torch.randint(0, 10, (batch,))
    if second:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if name == "very_simple":
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    else:
        momentum = 0.0 if name == "mlp_sigmoid" else 0.9
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=momentum)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return step


def timed(step, count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return times


def torch_memory(name, steps):
    step = torch_step(name, True)
    for _ in range(5 if steps else 0):
        step()
    # VmHWM and not getrusage, whose maximum a program inherits from the one that started it.
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))


def compare(binary, names, seconds):
    import torch
    print(f"PyTorch {torch.__version__}, one thread, microseconds per step (medians, turn by turn)")
    pare = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(name, count):
        print(name, count, file=pare.stdin, flush=True)
        return [float(t) for t in pare.stdout.readline().split()]

    print(f"{'step':14s} {'pare':>10s} {'PyTorch':>10s} {'ratio':>6s} {'target':>7s}")
    for name in names:
        rivals = [torch_step(name, False)]
        if "lenet5" in name or "resnet" in name or name in ("ds_cnn", "mobilenet_v2", "gpt", "adamw"):
            rivals.append(torch_step(name, True))
        ours, theirs = [], [[] for _ in rivals]
        for step in rivals:
            timed(step, 2)
        once = ask(name, 2)[-1]
        count = max(1, int(0.05 / once))
        end = time.time() + seconds
        while time.time() < end or len(ours) < 5:
            ours += ask(name, count)
            for step, times in zip(rivals, theirs):
                times += timed(step, count)
        mine, best = np.median(ours), min(np.median(t) for t in theirs)
        per = 1000 if name in ("add", "add_grad") else 1
        print(f"{name:14s} {mine * 1e6 / per:10.3f} {best * 1e6 / per:10.3f} {mine / best:6.2f} {TARGETS[name]:7.2f}", flush=True)
    pare.stdin.close()
    pare.wait()


def memory(binary):
    run = lambda *a: int(subprocess.run(a, capture_output=True, text=True, check=True).stdout.split()[-1])
    me = [sys.executable, os.path.abspath(__file__)]
    ours = run(binary, "--memory", "resnet20") - run(binary, "--memory", "resnet20", "--no-steps")
    theirs = run(*me, "--torch-memory", "resnet20", "steps") - run(*me, "--torch-memory", "resnet20", "none")
    print(f"memory of ResNet-20 training, MiB above the program: pare {ours / 1024:.0f}, PyTorch {theirs / 1024:.0f}")


def loader(binary):
    pinned = ["taskset", "-c", "0", binary]
    batch = min(float(t) for t in subprocess.run([*pinned, "--loader"], capture_output=True, text=True, check=True).stdout.split())
    steps = subprocess.run(pinned, input="resnet20 6\n", capture_output=True, text=True, check=True).stdout.split()
    step = min(float(t) for t in steps[1:])
    print(f"loader with crop and flip, one core: {batch * 1e3:.2f} ms a batch of 128, {100 * batch / step:.2f} % of a ResNet-20 step")


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--torch-memory"]:
        return torch_memory(arguments[1], arguments[2] == "steps")
    seconds = 6.0
    if "--seconds" in arguments:
        at = arguments.index("--seconds")
        seconds = float(arguments[at + 1])
        del arguments[at:at + 2]
    names = [a for a in arguments if a in TARGETS]
    folders = [a for a in arguments if a not in TARGETS]
    binary = os.path.join(folders[0] if folders else "build/release", "benchmarks", "train_steps")
    compare(binary, names or list(TARGETS), seconds)
    if not names:
        memory(binary)
        loader(binary)


if __name__ == "__main__":
    main()
