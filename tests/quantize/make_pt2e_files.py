"""Files of PyTorch's quantizers: PT2E (torchao) exported by dynamo, FX graph mode exported through TorchScript.

python tests/quantize/make_pt2e_files.py FOLDER        (prints the files' names)

Made with torch 2.15 and torchao 0.18.
"""
import logging
import os
import sys
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import torch
import torchao.quantization.pt2e as pt2e
from torch import nn
from torch.ao.quantization import get_default_qat_qconfig_mapping, get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
from torchao.testing.pt2e._xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

# Quantized, the TorchScript exporter knows neither relu6 nor adaptive pooling.
functional = nn.functional


class Net(nn.Module):
    def __init__(self, plain):
        super().__init__()
        self.activation = torch.relu if plain else functional.relu6
        self.pool = (lambda x: functional.avg_pool2d(x, 8)) if plain else (lambda x: functional.adaptive_avg_pool2d(x, 1))
        self.stem, self.stem_bn = nn.Conv2d(3, 16, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(16)
        self.depthwise, self.depthwise_bn = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), nn.BatchNorm2d(16)
        self.pointwise, self.fc = nn.Conv2d(16, 16, 1), nn.Linear(16, 10)

    def forward(self, x):
        x = self.activation(self.stem_bn(self.stem(x)))
        y = self.activation(self.depthwise_bn(self.depthwise(x)))
        x = torch.relu(self.pointwise(y) + x)
        return self.fc(self.pool(x).flatten(1))


def fresh(plain, training):
    torch.manual_seed(0)
    net = Net(plain)
    for norm in (net.stem_bn, net.depthwise_bn):
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.5, 1.5)
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.2)
    return net.train(training)


def calibrate(net, x, training):
    if training:
        sgd = torch.optim.SGD(net.parameters(), lr=1e-3)
        for _ in range(3):
            sgd.zero_grad()
            net(x).square().mean().backward()
            sgd.step()
    else:
        for _ in range(3):
            net(torch.randn_like(x))


def export(net, x, path, **how):
    output, sys.stdout = sys.stdout, sys.stderr  # the exporter talks
    try:
        torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], **how)
    finally:
        sys.stdout = output
    print(path, flush=True)


def xnnpack(training, per_channel):
    config = get_symmetric_quantization_config(is_per_channel=per_channel, is_qat=training)
    return XNNPACKQuantizer().set_global(config)


def main():
    folder = sys.argv[1]
    x = torch.randn(8, 3, 16, 16)
    quantizers = {
        "x86": lambda qat: x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config(is_qat=qat)),
        "xnnpack": lambda qat: xnnpack(qat, True),
        "xnnpack_tensor": lambda qat: xnnpack(qat, False),
    }
    for training in (False, True):
        form = "qat" if training else "static"
        for name, quantizer in quantizers.items():
            traced = torch.export.export(fresh(False, training), (x,)).module()
            prepared = (prepare_qat_pt2e if training else prepare_pt2e)(traced, quantizer(training))
            calibrate(prepared, x, training)
            converted = convert_pt2e(prepared)
            pt2e.move_exported_model_to_eval(converted)
            export(converted, x, os.path.join(folder, f"pt2e_{name}_{form}.onnx"), dynamo=True, opset_version=18,
                   external_data=False)
        for backend in ("fbgemm", "qnnpack"):
            torch.backends.quantized.engine = backend
            mapping = (get_default_qat_qconfig_mapping if training else get_default_qconfig_mapping)(backend)
            prepared = (prepare_qat_fx if training else prepare_fx)(fresh(True, training), mapping, (x,))
            calibrate(prepared, x, training)
            export(convert_fx(prepared.eval()), x, os.path.join(folder, f"fx_{backend}_{form}.onnx"), dynamo=False,
                   opset_version=17)


if __name__ == "__main__":
    main()
