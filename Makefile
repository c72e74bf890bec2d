VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
DATA ?= ../shared/data/train
SECONDS ?= 60
EXECUTIONS ?= 100000
READY := $(VENV)/.roicodec
FIT := $(BIN)/python -m roicodec.train fit --data $(DATA)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long native docs man sdist wheel sanitize fuzz lint bench bench-kernels results train clean

help:
	@awk -F ' ## ' '/^[a-z-]+:.* ## / { sub(/:.*/, "", $$1); printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## create the virtual environment $(VENV) and install into it
demo: $(READY) ## encode a real clip, decode it, print info and PSNR
	$(BIN)/python -m examples.demo
test: lint ## ruff, mypy and pytest, a file of tests on each core
	$(BIN)/python -m pytest -n 2 --dist loadfile
test-long: $(READY) ## the tests that take minutes: every instruction set, an older commit
	$(BIN)/python -m pytest -m slow
native: $(READY) ## compile the native kernels (native/) anew, for this checkout
	$(BIN)/python setup.py --quiet build_ext --inplace
docs: $(READY) ## build the documentation site in build/docs/html
	$(BIN)/python -m docs.site html
man: $(READY) ## write manual pages from --help to dist/man
	$(BIN)/python -m docs.site man
sdist: man ## build a source distribution in dist/
	$(BIN)/python -c "from setuptools.build_meta import build_sdist; print(build_sdist('dist'))"
wheel: man ## build a wheel for this platform in dist/, with its manual pages
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
sanitize: $(READY) ## kernels' tests and EXECUTIONS (100000) of the fuzzer under AddressSanitizer and UBSan
	$(BIN)/python -m tests.sanitize --executions $(EXECUTIONS) tests/kernels tests/fuzz
fuzz: $(READY) ## mutated streams against reader, info, decoder and muxer, SECONDS (60) for each
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)
lint: $(READY) ## ruff, its format, and mypy strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
bench: $(READY) ## size, PSNR and speed on real clips; cost of every bit-width; threads
	$(BIN)/python -m benchmarks.clips
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.bitwidths
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.threads
bench-kernels: $(READY) ## rate of every native kernel at every instruction set
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.native
results: $(READY) ## compare with other codecs, write docs/results.md (resumes from runs/eval)
	OMP_NUM_THREADS=1 $(BIN)/python -m studies.results
train: $(READY) ## train the networks from the clips in DATA (default ../shared/data/train): hours
	$(FIT) intra --run runs/intra --steps 20000 --batch 8 --compile
	$(FIT) inter --run runs/inter --intra runs/intra/last.pt --steps 6000 \
	  --batch 4 --unroll 2 --size 192 --length 16 --compile
	$(FIT) inter --run runs/inter-long --intra runs/intra/last.pt --init runs/inter/last.pt \
	  --steps 6000 --rate 6e-4 --batch 4 --unroll 4 --size 192 --length 24 --compile
	$(FIT) intra --run runs/intra-bits --init runs/intra/last.pt --quantize \
	  --steps 13000 --rate 5e-4 --batch 8
	$(FIT) inter --run runs/inter-bits --intra runs/intra-bits/last.pt \
	  --init runs/inter-long/last.pt --quantize \
	  --steps 6000 --rate 5e-4 --batch 4 --unroll 3 --size 192 --length 24
	$(FIT) inter --run runs/inter-four --intra runs/intra-bits/last.pt \
	  --init runs/inter-bits/last.pt --quantize --bits 4 \
	  --steps 400 --batch 4 --unroll 3 --size 192 --length 24
	$(BIN)/python -m roicodec.train release --data $(DATA) --out runs/weights --clips 90 \
	  --intra runs/intra-bits/last.pt --inter runs/inter-four/last.pt
	ROICODEC_WEIGHTS=runs/weights $(BIN)/python -m roicodec.train selector --data $(DATA) --clips 24 \
	  --out runs/weights/selector.json
clean: ## remove the environment, caches and what demo and build wrote
	rm -rf $(VENV) demo build dist *.egg-info roicodec/kernels/_native.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find roicodec tests examples -name __pycache__ -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt setup.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
