"""Prints what init_test.cpp states: PyTorch's standard deviations of fresh layers.

Run with PyTorch installed: python tests/nn/make_init.py
"""
import math

import torch
import torch.nn as nn

torch.manual_seed(0)


def deviation(make, name, draws=40):
    return math.sqrt(sum(getattr(make(), name).double().var().item() for _ in range(draws)) / draws)


def filled(function, shape, **arguments):
    class Filled:
        weight = function(torch.empty(*shape), **arguments)
    return Filled


with torch.no_grad():
    print("Linear(400, 300).weight", deviation(lambda: nn.Linear(400, 300), "weight"))
    print("Linear(400, 300).bias", deviation(lambda: nn.Linear(400, 300), "bias", 400))
    print("Conv2d(32, 48, 5, groups=2).weight", deviation(lambda: nn.Conv2d(32, 48, 5, groups=2), "weight"))
    print("Conv2d(32, 48, 5, groups=2).bias", deviation(lambda: nn.Conv2d(32, 48, 5, groups=2), "bias", 2000))
    shape = (120, 90, 3, 3)
    for name in ["kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"]:
        print(name, deviation(lambda: filled(getattr(nn.init, name), shape)(), "weight"))
    print("kaiming_normal_ fan_out relu",
          deviation(lambda: filled(nn.init.kaiming_normal_, shape, mode="fan_out", nonlinearity="relu")(), "weight"))
    for name in ["linear", "sigmoid", "tanh", "relu"]:
        print("gain", name, nn.init.calculate_gain(name))
    print("gain leaky_relu 0.2", nn.init.calculate_gain("leaky_relu", 0.2))
