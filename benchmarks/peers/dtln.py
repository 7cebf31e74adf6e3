"""The speech denoiser DTLN, quantized by `pare quantize`: how close both halves stay to their float models.

usage: dtln.py DATA [BUILD]
  DATA = ../shared/data; BUILD = build/release
needs numpy, onnx, onnxruntime (PyPI)

Blocks of 512 samples, 128 apart, of the first minute of speech; the first half of it calibrates, the second tests. Each half of the model gets the
float model's states (as in a loop of its own), so that the numbers are those of single steps: SQNR of the outputs over every sixteenth block, by `pare compare`;
last ONNX Runtime's quantize_static (weights per channel, smallest and largest values) on the same blocks."""
import json
import os
import subprocess
import sys
import tempfile
import wave

import numpy as np

WAYS = {"static": ["--calibration"], "static, 25 dB": ["--calibration", "--min-sqnr", "25"], "static, best": ["--calibration", "--adaround", "--bias-correction", "--smooth", "0.5", "--smooth-steps", "10"],
        "dynamic": ["--dynamic"], "weights, 8 bits": ["--weight-only", "--bits", "8", "--group", "0"], "weights, 4 bits": ["--weight-only"]}


def blocks_of(data):
    with wave.open(data + "/speech/speech_16k_60s.wav") as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    return np.stack([sound[i:i + 512] for i in range(0, len(sound) - 512, 128)])


def inputs_of(session, given):
    """The model run in its loop: every step's inputs, by name, and its first output."""
    names = [i.name for i in session.get_inputs()]
    state = np.zeros(session.get_inputs()[1].shape, np.float32)
    states, outputs = [], []
    for x in given:
        states.append(state)
        y, state = session.run(None, {names[0]: x[None], names[1]: state})
        outputs.append(y)
    return {names[0]: given, names[1]: np.concatenate(states)}, np.concatenate(outputs)


def of_onnx_runtime(path, folder, inputs, half):
    """SQNR of the outputs, and the file's size, of ONNX Runtime's static quantization."""
    import onnx
    import onnxruntime as ort
    from onnx import version_converter
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.steps = iter(range(0, half, 16))

        def get_next(self):
            step = next(self.steps, None)
            return None if step is None else {name: x[step:step + 1] for name, x in inputs.items()}

    newer, out = folder + "/newer.onnx", folder + "/onnxruntime.onnx"
    onnx.save(version_converter.convert_version(onnx.load(path), 13), newer)  # a scale per channel needs it
    quantization.quantize_static(newer, out, Reader(), per_channel=True, weight_type=quantization.QuantType.QInt8,
                                 activation_type=quantization.QuantType.QUInt8)
    sessions = [ort.InferenceSession(file, providers=["CPUExecutionProvider"]) for file in (path, out)]
    signal, noise = np.zeros(2), np.zeros(2)
    for step in range(half, len(next(iter(inputs.values()))), 16):
        wanted, found = (s.run(None, {name: x[step:step + 1] for name, x in inputs.items()}) for s in sessions)
        for i, (w, f) in enumerate(zip(wanted, found)):
            signal[i] += np.square(w, dtype=np.float64).sum()
            noise[i] += np.square(w.astype(np.float64) - f).sum()
    with np.errstate(divide="ignore"):
        return 10 * np.log10(signal / noise), os.path.getsize(out)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    data, build = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "build/release"
    import onnxruntime as ort
    pare = [build + "/bin/pare"]
    blocks = blocks_of(data)
    spectrum = np.fft.rfft(blocks)
    with tempfile.TemporaryDirectory() as folder:
        for model in ("dtln_1", "dtln_2"):
            path = f"{data}/models/{model}.onnx"
            session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
            given = np.abs(spectrum).astype(np.float32)[:, None] if model == "dtln_1" else cleaned
            inputs, outputs = inputs_of(session, given)
            if model == "dtln_1":
                cleaned = np.fft.irfft(spectrum * outputs[:, 0]).astype(np.float32)[:, None]
            half = len(given) // 2
            calibration, test = [], []
            for name, x in inputs.items():
                for words, part, file in ((calibration, x[:half:16], "c"), (test, x[half::16], "t")):
                    np.save(f"{folder}/{file}_{len(words)}.npy", part)
                    words.append(f"{name}={folder}/{file}_{len(words)}.npy")
            for way, words in WAYS.items():
                out = f"{folder}/{model}.pare"
                command = pare + ["quantize", path, "-o", out, "--json", "--quiet"] + [w for w in words if w != "--calibration"]
                if "--calibration" in words:
                    command += [w for c in calibration for w in ("--calibration", c)]
                made = subprocess.run(command, capture_output=True, text=True)
                if made.returncode != 0:
                    print(f"{model} {way:<16} {made.stderr.strip()}")
                    continue
                compared = subprocess.run(pare + ["compare", path, out, "--json", "--quiet"] + [w for t in test for w in ("--input", t)],
                                          capture_output=True, text=True, check=True)
                numbers = [float("inf") if output["sqnr_db"] is None else output["sqnr_db"] for output in json.loads(compared.stdout)["outputs"]]
                share = os.path.getsize(out) / os.path.getsize(path)
                print(f"{model} {way:<16} output {numbers[0]:6.2f} dB, states {numbers[1]:6.2f} dB, {share:.2f} of the size", flush=True)
            numbers, size = of_onnx_runtime(path, folder, inputs, half)
            print(f"{model} {'ONNX Runtime':<16} output {numbers[0]:6.2f} dB, states {numbers[1]:6.2f} dB, "
                  f"{size / os.path.getsize(path):.2f} of the size", flush=True)


if __name__ == "__main__":
    main()
