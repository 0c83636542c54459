"""Throughput of fastrnn and the same work on other libraries.

shapes.py       the one table of sizes, and how conditions vary it
bench_*.py      pytest-benchmark suites of fastrnn alone
peers.py        the table against other libraries; report.py its ratios, geometric means, page and chart
conditions.py   the same in float64, under AVX2, in stacks, with ragged lengths, denormals or pauses, and first calls
curves.py       time against T, B, H and threads
breakdown.py    where fastrnn's time goes, and what a call costs
memory.py       peak memory against the formulas
roofline.py     what the machine can do at most, and the bound of a row
all.py          all of these, and RESULTS.md
probe.py, .c    compiled on the spot: the machine's rates, and clocks around the kernels
options.py, tables.py    the one option parser and the one writer of tables
workers/        one module per library; each runs in its own process, under its own interpreter if need be
tutorials.py, trainers/    the tutorials' models trained in fastrnn, Keras and PyTorch: TUTORIALS.md

    pytest benchmarks/ --benchmark-only
    python3 -m venv .peers && .peers/bin/pip install torch onnx onnxruntime openvino jax tensorflow-cpu
    python -m benchmarks.all --peer-python .peers/bin/python --results results --output benchmarks/RESULTS.md
    python -m benchmarks.all --only '' --results results --output benchmarks/RESULTS.md    # the page alone
    python -m benchmarks.peers --report results/peers.json --short                         # the README's table
    python -m benchmarks.tutorials --peer-python .peers/bin/python
"""
