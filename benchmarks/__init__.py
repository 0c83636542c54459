"""Throughput of fastrnn and the same work on other libraries.

shapes.py   the one table of sizes
bench_*.py  pytest-benchmark suites of fastrnn alone
peers.py    the table against other libraries
report.py   ratios, geometric means, roofline, Markdown and chart from the measured JSON
workers/    one module per library; each runs in its own process, under its own interpreter if need be
tutorials.py, trainers/    the tutorials' models trained in fastrnn, Keras and PyTorch: TUTORIALS.md

    pytest benchmarks/ --benchmark-only
    python3 -m venv .peers && .peers/bin/pip install torch onnx onnxruntime openvino jax tensorflow-cpu
    python -m benchmarks.peers --peer-python .peers/bin/python --json results.json
    python -m benchmarks.tutorials --peer-python .peers/bin/python
    python -m benchmarks.peers --report results.json --output benchmarks/RESULTS.md --plot ratios.png
"""
